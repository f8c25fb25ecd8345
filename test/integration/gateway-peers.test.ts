import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import type { KeptLetter } from "../../src/buffer/commit.ts";
import { readStored } from "../support/daemon-journal.ts";
import { atEnd, daemonAt, moteFields, openSite, results, windowsOf } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

const json = (value: unknown) => JSON.stringify(value);
const good = { ts: 1_700_000_000_000, humidity: 40, temperature: 20 };

/** What sensors send that no sensor should: payload, and the code of its dead letter. */
const bad: readonly (readonly [what: string, payload: string | Buffer, code: string])[] = [
  ["cut off", '{"ts": 1, "humid', "PAYLOAD_MALFORMED"],
  ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), "PAYLOAD_ENCODING"],
  ["deep nesting", "[".repeat(200_000), "PAYLOAD_TOO_DEEP"],
  ["NaN", '{"humidity": NaN}', "PAYLOAD_MALFORMED"],
  ["text for a number", json({ ...good, humidity: "wet" }), "PAYLOAD_TYPE"],
  ["an object for a number", json({ ...good, humidity: { value: 1 } }), "PAYLOAD_TYPE"],
  ["infinity", '{"ts": 1700000000000, "humidity": 1e999, "temperature": 1}', "PAYLOAD_TYPE"],
  ["no time", json({ ...good, ts: "yesterday" }), "PAYLOAD_TIMESTAMP"],
  ["more than 1 MiB", json({ ...good, padding: "x".repeat(2 ** 20) }), "PAYLOAD_TOO_LARGE"],
  ["nothing", "", "PAYLOAD_MALFORMED"],
];

describeReal("the daemon among peers that misbehave", () => {
  it.each(["5", "3.1.1"])("lives through bad payloads and keeps them as dead letters (MQTT %s)", async (protocol) => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url, { sensors: { url: broker.url, protocol } });
    await daemon.start();
    const { pid } = daemon;
    await sensors.send(80);
    for (const [, payload] of bad) await sensors.raw("motes/m0/env", payload);
    // Larger than any packet that the daemon takes: with MQTT 5 the broker keeps it back.
    await sensors.raw("motes/m0/env", Buffer.alloc(10 * 2 ** 20, 0x20));
    await sensors.raw("motes/m0/other", json(good));
    await sensors.raw("tidegate/gw-1/results/env/m0", json({ id: "forged" }));
    await sensors.raw("motes/ü 🌊 %00/env", json(good));
    await sensors.raw(`motes/${"x".repeat(5_000)}/env`, json(good));
    await sensors.send(80);
    await daemon.eventually(({ streams }) => (streams.env?.readings ?? 0) >= 160, "took the good readings");
    // The first mote's window is not broken by what could not be read.
    await expect.poll(() => listener.json("tidegate/gw-1/results/").length).toBeGreaterThanOrEqual(windowsOf(160));
    // A letter is in the journal a commit after its message.
    let letters: KeptLetter[] = [];
    const isLast = async () => {
      letters = await daemon.ask("dead.list", { limit: 100 });
      return letters.some(({ code }) => code === "TOPIC_UNUSABLE");
    };
    await expect.poll(isLast, { timeout: 5_000 }).toBe(true);
    const codes = letters.filter(({ topic }) => topic === "motes/m0/env").map(({ code }) => code);
    // Newest first; the 10 MiB came only where the broker does not know how much the daemon takes.
    const huge = protocol === "5" ? [] : ["PAYLOAD_TOO_LARGE"];
    expect(codes.reverse()).toEqual([...bad.map(([, , code]) => code), ...huge]);
    expect(letters.filter(({ topic }) => topic !== "motes/m0/env").map(({ code }) => code)).toEqual(["TOPIC_UNUSABLE"]);
    expect(daemon.pid).toBe(pid);
    expect((await daemon.status()).modelProcess.restarts).toBe(0);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    const sources = new Set(readings.map(({ source }) => source.mote));
    expect(sources).toContain("ü 🌊 %00");
    expect(readings.every(({ fields }) => fields.humidity !== null || fields.temperature !== null)).toBe(true);
  });

  it("stores readings from the past and the future, and judges those in order", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    await sensors.send(100);
    const now = Date.now();
    for (const ts of [0, now - 864e5, now + 864e5 * 3650])
      await sensors.raw("motes/late/env", json({ ts, humidity: 40, temperature: 20 }));
    await sensors.raw("motes/m0/env", json({ ...sensors.reading(0), humidity: 99 }));
    await sensors.send(100);
    await results(listener, windowsOf(200));
    await daemon.stop();
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(readings.length).toBe(204);
  });

  it("refuses a second daemon on its directory with 75, and goes on", async () => {
    const { broker, sensors } = await openSite();
    const first = daemonAt(broker.url);
    await first.start();
    const second = daemonAt(broker.url, { gateway: { dataDir: first.dataDir } });
    second.spawn();
    expect(await second.ended()).toEqual({ code: 75, signal: null });
    expect(second.text).toContain(first.dataDir);
    await sensors.send(20);
    await first.eventually(({ streams }) => streams.env?.stored === 20, "stored 20 readings");
    // After a crash there is no lock left that somebody would have to remove.
    await first.kill();
    second.spawn();
    const isConnected = () => second.log.some(({ event }) => event === "broker connected");
    await expect.poll(isConnected, { timeout: 10_000 }).toBe(true);
  });

  it("shares its client id with somebody and is back when they have gone", async () => {
    const { broker, sensors } = await openSite();
    const daemon = daemonAt(broker.url, { sensors: { url: broker.url, clientId: "twin" } });
    await daemon.start();
    const twin = await connectAsync(broker.url, { clientId: "twin", clean: false, reconnectPeriod: 0 });
    atEnd(() => twin.endAsync(true));
    await expect.poll(() => daemon.log.some(({ event }) => event.includes("lost")), { timeout: 5_000 }).toBe(true);
    await twin.endAsync(true);
    await daemon.eventually(({ site }) => site.isOnline && site.connections >= 2, "is back");
    await sensors.send(20);
    await daemon.eventually(({ streams }) => streams.env?.stored === 20, "stored 20 readings");
  });

  it("is refused, waits, and starts to work when it is let in", async () => {
    const { broker, sensors } = await openSite();
    await broker.pause();
    const daemon = daemonAt(broker.url);
    await daemon.start({ isConnected: false });
    expect((await daemon.status()).health.parts.site?.state).not.toBe("ok");
    await broker.restart();
    await daemon.eventually(({ site }) => site.isOnline, "is online");
    await sensors.send(20);
    await daemon.eventually(({ streams }) => streams.env?.stored === 20, "stored 20 readings");
  });
});
