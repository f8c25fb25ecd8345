import { expect, it } from "vitest";
import { readingFlags } from "../../src/base/frame.ts";
import { emptyCommit } from "../../src/buffer/commit.ts";
import { openStore } from "../support/daemon-journal.ts";
import { daemonAt, moteFields, openSite, results } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

/** Readings of one mote, a second apart, that a crash left without results. */
function owe(dataDir: string, count: number): void {
  const { store, close } = openStore(dataDir, "env", moteFields);
  const numbers = Array.from({ length: count }, (_, i) => i);
  const frame = {
    ...{ stream: "env", fields: moteFields, first: 0, count, boot: "another", wallOffset: 1.7e12 },
    source: new Uint32Array(count),
    ts: Float64Array.from(numbers, (i) => 1.7e12 + i * 1_000),
    arrived: Float64Array.from(numbers, (i) => i * 1_000),
    flags: new Uint8Array(count).fill(readingFlags.sensorTime),
    values: [
      Float64Array.from(numbers, (i) => 40 + (i % 7) / 10),
      Float64Array.from(numbers, (i) => 20 + (i % 5) / 10),
    ],
  };
  const sources = [{ stream: "env", at: 0, sources: [{ mote: "m0" }] }];
  store.commit({ ...emptyCommit, frames: [frame], sources });
  close();
}

describeReal("a daemon that owes results", () => {
  it("gives more of them than the link queues, each once, before what comes after", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    await daemon.stop();
    const owed = 40_000;
    owe(daemon.dataDir, owed);
    await daemon.start();
    await sensors.raw("motes/m0/env", JSON.stringify({ ts: 1.7e12 + owed * 1_000, humidity: 40, temperature: 20 }));
    const given = await results(listener, owed + 1 - 15, 120_000);
    expect(given.length).toBe(owed + 1 - 15);
    expect(given.map(({ ts }) => (ts - 1.7e12) / 1_000)).toEqual(given.map((_, i) => i + 15));
    expect(given.map((result) => "repeated" in result).lastIndexOf(true)).toBe(owed - 1 - 15);
  }, 180_000);
});
