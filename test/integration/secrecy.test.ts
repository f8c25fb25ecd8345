import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { moteStream } from "../support/daemon.ts";
import { daemonAt, openSite, results } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dir, name))
    .filter((file) => statSync(file).isFile());
}

describeReal("what a thief of the disk or of the log reads", () => {
  it("is no stream, field, source, topic or value, not even of messages that could not be taken", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url, {
      gateway: { logLevel: "trace" },
      streams: {
        cellarstream: {
          ...moteStream,
          topic: "wing/{room}/climate",
          fields: { humidity: "humidity", temperature: "temperature", occupancy: "occupancy" },
        },
      },
    });
    await daemon.start();
    for (let i = 0; i < 40; i++) {
      const reading = { ts: 1.7e12 + i * 5_000, humidity: 40.25, temperature: 21.5, occupancy: 7_654_321.5 };
      await sensors.raw("wing/darkroom/climate", JSON.stringify(reading));
    }
    await sensors.raw("wing/darkroom/climate", '{"occupancy": "burglar inside"');
    await results(listener, 25);
    // Once as it is killed, with its log full, and once after a clean end.
    for (const end of [() => daemon.kill(), () => daemon.stop()]) {
      await end();
      const texts = [
        ...filesBelow(daemon.dataDir).map((file) => [file, readFileSync(file).toString("latin1")] as const),
        ["the log", daemon.text] as const,
      ];
      const words = ["cellarstream", "darkroom", "wing/", "occupancy", "7654321.5", "burglar"];
      const found = texts.flatMap(([name, text]) =>
        words.filter((word) => text.includes(word)).map((word) => `${word} in ${name}`),
      );
      // A stream's name is what an operator knows it by: the log may say it, the disk may not.
      expect(found.filter((line) => line !== "cellarstream in the log")).toEqual([]);
      if (!daemon.isRunning) await daemon.start();
    }
  });
});
