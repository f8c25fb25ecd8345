import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Aedes } from "aedes";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { checkClock, checkMemory } from "../../src/commands/check/system.ts";
import { readProfile } from "../../src/config/profile.ts";
import { tidegate } from "../support/command-line.ts";
import { moteStream } from "../support/daemon.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

type Check = { name: string; level: "ok" | "warn" | "fail"; detail: string; remedy: string };

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-check-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const configure = (config: Record<string, unknown>): void => {
  const gateway = { id: "gw-1", profile: "generic-x64", dataDir: "data" };
  writeFileSync(join(dir, "tidegate.yaml"), stringify({ version: 1, gateway, buffer: { minFree: "0%" }, ...config }));
};

async function check(
  ...words: string[]
): Promise<{ code: number | null; of: (name: string) => Check | undefined; names: string[] }> {
  const { code, json } = await tidegate(["check", "--json", ...words], { cwd: dir });
  const { checks } = json() as { checks: Check[] };
  return { code, of: (name) => checks.find((each) => each.name === name), names: checks.map(({ name }) => name) };
}

describeReal("tidegate check, with a broker", () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    broker = await startMosquitto();
  });
  afterAll(() => broker.stop());

  it("measures disk, sealing, each model and the broker when it is asked to", async () => {
    configure({ sensors: { url: broker.url }, streams: { env: moteStream, other: { ...moteStream, topic: "o/{m}" } } });
    const { code, of, names } = await check("--bench");
    expect(code).toBe(0);
    expect(names.filter((name) => name.startsWith("bench"))).toEqual([
      ...["bench disk", "bench sealing", "bench model mote-anomaly", "bench site broker"],
    ]);
    expect(of("bench disk")?.detail).toMatch(/100 commits of 8 KiB with fsync: median [\d.]+ ms, p90 [\d.]+ ms/);
    const speeds = /seals (\d+) MB\/s, opens (\d+) MB\/s/.exec(of("bench sealing")?.detail ?? "");
    expect(Number(speeds?.[1])).toBeGreaterThan(0);
    expect(of("bench model mote-anomaly")?.detail).toMatch(/a window alone [\d.]+ ms; [\d.]+ µs each .*windows\/s/);
    expect(of("bench site broker")?.detail).toMatch(/50 messages with QoS 1, there and back: median/);
    expect(readdirSync(dir).filter((name) => name.includes("bench"))).toEqual([]);
  });

  it("finds everything in place, and changes nothing", async () => {
    configure({ sensors: { url: broker.url }, streams: { env: moteStream } });
    const { code, of } = await check();
    expect(code).toBe(0);
    expect(of("configuration")?.level).toBe("ok");
    expect(of("site broker")).toMatchObject({
      level: "ok",
      detail: expect.stringMatching(/mosquitto version.*MQTT 5/),
    });
    expect(of("site broker access")?.detail).toContain("motes/+/env");
    expect(of("site session")).toMatchObject({ level: "ok", remedy: expect.stringContaining("max_queued_messages") });
    expect(of("model mote-anomaly")?.detail).toMatch(/[1-9]\d* golden samples/);
    expect(of("disk writing")?.detail).toMatch(/a commit takes [\d.]+ ms/);
    expect(of("keys")).toMatchObject({ level: "warn", detail: expect.stringContaining("not there yet") });
    expect(readdirSync(dir)).toEqual(["tidegate.yaml"]);
  });

  it("says that keys beside the data do not stop a thief of the disk", async () => {
    await tidegate(["init", "--dir", dir]);
    const { of } = await check();
    expect(of("keys")).toMatchObject({ level: "warn", detail: expect.stringContaining("same disk") });
  });

  it("sees that a user is refused, with what to mend", async () => {
    const strict = await startMosquitto({ isAnonymous: false });
    configure({ sensors: { url: strict.url } });
    const { code, of } = await check();
    await strict.stop();
    expect(code).toBe(1);
    expect(of("site broker")).toMatchObject({ level: "fail", remedy: expect.stringContaining("passwordFile") });
  });

  it("sees that a broker speaks MQTT 3.1.1 and forgets its clients", async () => {
    configure({ sensors: { url: broker.url, protocol: "3.1.1", sessionExpiry: "0s" } });
    const { of } = await check();
    expect(of("site broker")).toMatchObject({ level: "warn", detail: expect.stringContaining("MQTT 3.1.1") });
    expect(of("site session")?.level).toBe("warn");
  });

  it("fails when a model's golden samples come out otherwise", async () => {
    const models = join(dir, "models");
    cpSync(resolve("models/mote-anomaly"), join(models, "mote-anomaly"), { recursive: true });
    const golden = join(models, "mote-anomaly/golden.ndjson");
    writeFileSync(golden, readFileSync(golden, "utf8").replace('"verdict":"normal"', '"verdict":"alarm"'));
    configure({ sensors: { url: broker.url }, models: { dir: "models" }, streams: { env: moteStream } });
    const { code, of } = await check();
    expect(code).toBe(1);
    expect(of("model mote-anomaly")).toMatchObject({ level: "fail", detail: expect.stringContaining("verdict") });
  });

  it("fails when a stream's fields are not the model's", async () => {
    configure({ sensors: { url: broker.url }, streams: { env: { ...moteStream, fields: { humidity: "humidity" } } } });
    const { code, of } = await check();
    expect(code).toBe(1);
    expect(of("model mote-anomaly")?.detail).toContain("no field temperature");
  });
});

describe("tidegate check, with a broker of MQTT 3.1.1", () => {
  it("takes the older protocol and names topics that are withheld", async () => {
    const broker = await Aedes.createBroker({ authorizeSubscribe: (_client, _subscription, done) => done(null, null) });
    const server = createServer(broker.handle).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    configure({ sensors: { url: `mqtt://127.0.0.1:${port}` }, streams: { env: { ...moteStream, model: undefined } } });
    const { code, of } = await check();
    broker.close();
    server.close();
    expect(code).toBe(1);
    expect(of("site broker")).toMatchObject({ level: "warn", detail: expect.stringContaining("MQTT 3.1.1") });
    expect(of("site broker access")).toMatchObject({ level: "fail", detail: expect.stringContaining("motes/+/env") });
  });
});

describe("tidegate check, without a broker", () => {
  it("tells what is wrong on one screen and ends with 1", async () => {
    configure({ sensors: { url: "mqtt://127.0.0.1:1" }, buffer: { minFree: "90%" } });
    const { code, out } = await tidegate(["check"], { cwd: dir });
    expect(code).toBe(1);
    expect(out).toMatch(/FAIL +site broker/);
    expect(out).toMatch(/-> Check the address/);
    expect(out).toMatch(/\d+ in order, \d+ to look at, [1-9]\d* failed/);
  });

  it("lists every fault of a configuration with its line, and goes on with the rest", async () => {
    writeFileSync(join(dir, "tidegate.yaml"), "version: 1\nsensors: { urll: x }\nbufffer: {}\n");
    const { code, of, names } = await check();
    expect(code).toBe(1);
    expect(of("configuration")?.detail).toMatch(/line 2.*urll[\s\S]*line 3.*bufffer/);
    expect(names).toEqual(["configuration", "system", "memory", "clock"]);
  });

  it("fails when data are there but not their keys", async () => {
    mkdirSync(join(dir, "data"));
    writeFileSync(join(dir, "data/buffer.db"), "something");
    configure({ sensors: { url: "mqtt://127.0.0.1:1" } });
    const { of } = await check();
    expect(of("keys")).toMatchObject({ level: "fail", detail: expect.stringContaining("storage.key") });
  });

  it("fails when the data directory cannot be made", async () => {
    writeFileSync(join(dir, "data"), "a file");
    configure({ sensors: { url: "mqtt://127.0.0.1:1" } });
    const { of } = await check();
    expect(of("disk writing")?.level).toBe("fail");
  });
});

describe("what check makes of clock and memory", () => {
  it("does not trust a clock that starts at 1970, and doubts one that nobody keeps", () => {
    expect(checkClock({ now: 1_000, isSynchronized: true }).level).toBe("fail");
    expect(checkClock({ now: Date.UTC(2026, 0, 1), isSynchronized: false }).level).toBe("warn");
    expect(checkClock({ now: Date.UTC(2026, 0, 1), isSynchronized: true }).level).toBe("ok");
  });

  it("compares memory with what the profile plans with", () => {
    const profile = readProfile("generic-x64");
    const MiB = 2 ** 20;
    expect(checkMemory(profile, { totalBytes: 4096 * MiB, availableBytes: 2048 * MiB }).level).toBe("ok");
    expect(checkMemory(profile, { totalBytes: 4096 * MiB, availableBytes: 100 * MiB }).level).toBe("warn");
    expect(checkMemory(profile, { totalBytes: 256 * MiB, availableBytes: 200 * MiB }).level).toBe("fail");
  });
});
