import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { ProposedStream } from "../../src/commands/discover/proposal.ts";
import { loadConfig } from "../../src/config/load.ts";
import { tidegate } from "../support/command-line.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

type Found = {
  messages: number;
  topics: number;
  streams: Record<string, ProposedStream>;
  ignored: { topic: string; reason: string }[];
};

describeReal("tidegate discover", () => {
  let broker: Mosquitto;
  let sensors: MqttClient;
  let dir = "";
  const retained = new Set<string>();

  beforeAll(async () => {
    broker = await startMosquitto();
    sensors = await connectAsync(broker.url);
  });
  afterAll(async () => {
    await sensors.endAsync();
    await broker.stop();
  });
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tidegate-discover-"));
  });
  afterEach(async () => {
    for (const topic of retained) await sensors.publishAsync(topic, "", { retain: true });
    retained.clear();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Leaves a value on the broker, as most sensors do. */
  const put = async (topic: string, value: unknown): Promise<void> => {
    retained.add(topic);
    const payload = typeof value === "string" ? value : JSON.stringify(value);
    await sensors.publishAsync(topic, payload, { retain: true, qos: 1 });
  };
  const discover = (...words: string[]) =>
    tidegate(["discover", "--broker", broker.url, "--for", "400ms", ...words], { cwd: dir });
  const found = async (...words: string[]): Promise<Found> => (await discover("--json", ...words)).json() as Found;

  it("groups the topics of like sensors and takes their numbers and time", async () => {
    for (const mote of [1, 2, 3]) {
      await put(`motes/${mote}/env`, { ts: 1_700_000_000_000, humidity: 40.5, temperature: 21, name: "m" });
    }
    const { streams, topics } = await found();
    expect(topics).toBe(3);
    expect(streams).toEqual({
      env: {
        topic: "motes/{mote}/env",
        codec: "json",
        fields: { humidity: "humidity", temperature: "temperature" },
        timestamp: "ts",
      },
    });
  });

  it("proposes YAML that loads as it is and names the model that fits", async () => {
    await put("motes/1/env", { ts: 1_700_000_000_000, humidity: 40.5, temperature: 21 });
    await put("zigbee2mqtt/plug", { state: "ON", power: 3.2, "odd.key": 1, last_seen: "2026-01-01T00:00:00Z" });
    await put("zigbee2mqtt/lamp", { state: "OFF", power: 0, "odd.key": 2, last_seen: "2026-01-01T00:00:00Z" });
    const { code, out } = await discover();
    expect(code).toBe(0);
    expect(out).toContain("# model: mote-anomaly");
    const file = join(dir, "tidegate.yaml");
    writeFileSync(file, `version: 1\ngateway: { id: g }\nsensors: { url: "${broker.url}" }\n${out}`);
    const { streams } = loadConfig({ file }).config;
    expect(Object.values(streams).map(({ topic }) => topic)).toEqual(["zigbee2mqtt/{device}", "motes/1/env"]);
    const [plugs] = Object.values(streams);
    expect(plugs?.fields).toMatchObject({
      state: { path: "state", map: { ON: 1, OFF: 0 } },
      odd_key: { path: '["odd.key"]' },
    });
    expect(plugs?.timestamp).toMatchObject({ path: "last_seen" });
  });

  it("adds to the file that init writes", async () => {
    await put("motes/1/env", { ts: 1_700_000_000_000, humidity: 40.5, temperature: 21 });
    await tidegate(["init", "--broker", broker.url], { cwd: dir });
    const { out } = await tidegate(["discover", "--for", "400ms"], { cwd: dir });
    const file = join(dir, "tidegate.yaml");
    appendFileSync(file, out);
    expect(Object.keys(loadConfig({ file }).config.streams)).toEqual(["env"]);
  });

  it("keeps different kinds apart, and what a pattern would take by mistake out of it", async () => {
    await put("site/a/env", { temperature: 20, humidity: 50 });
    await put("site/b/env", { temperature: 21, humidity: 51 });
    await put("site/gateway/env", { uptime: 5, load: 0.5, version: 2 });
    await put("site/c/env", "no JSON at all");
    const { streams, ignored } = await found();
    const [climate, other] = Object.values(streams);
    expect(climate).toMatchObject({ topic: "site/{device}/env", exclude: ["site/c/env", "site/gateway/env"] });
    expect(other).toMatchObject({ topic: "site/gateway/env", fields: { uptime: "uptime" } });
    expect(ignored).toEqual([{ topic: "site/c/env", reason: "not JSON" }]);
  });

  it("tells plain numbers apart by the end of their topic", async () => {
    for (const room of ["kitchen", "cellar"]) {
      await put(`${room}/temperature`, 20.5);
      await put(`${room}/humidity`, 60);
    }
    const { streams } = await found();
    expect(Object.values(streams).map(({ topic, fields }) => [topic, fields])).toEqual([
      ["{device}/humidity", { humidity: "." }],
      ["{device}/temperature", { temperature: "." }],
    ]);
  });

  it("hears what is sent while it listens, and leaves its own topics out", async () => {
    const timer = setInterval(() => {
      sensors.publish("tidegate/gw-1/results/env/1", '{"score": 1}');
      sensors.publish("live/1", '{"level": 3}');
    }, 20);
    const { streams, topics, messages } = await found();
    clearInterval(timer);
    expect(Object.values(streams).map(({ topic }) => topic)).toEqual(["live/1"]);
    expect(topics).toBe(1);
    expect(messages).toBeGreaterThan(1);
  });

  it("ends with 1 when nothing was heard, and says what to look at", async () => {
    const { code, err } = await discover();
    expect(code).toBe(1);
    expect(err).toContain("nothing was heard");
  });

  it("ends with 69 when the broker is not there", async () => {
    const { code, json } = await tidegate(["discover", "--broker", "mqtt://127.0.0.1:1", "--json"], { cwd: dir });
    expect(code).toBe(69);
    expect(json()).toMatchObject({ error: { code: "BROKER_UNREACHABLE" } });
  });
});
