import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Pace } from "../../src/commands/replay/pace.ts";
import { tidegate } from "../support/command-line.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

describeReal("tidegate replay", () => {
  let broker: Mosquitto;
  let listener: MqttClient;
  let heard: { topic: string; payload: string; at: number }[] = [];
  let dir = "";

  beforeAll(async () => {
    broker = await startMosquitto({ conf: ["max_queued_messages 0"] });
    listener = await connectAsync(broker.url, { protocolVersion: 5 });
    await listener.subscribeAsync("motes/#", { qos: 1 });
    listener.on("message", (topic, payload) =>
      heard.push({ topic, payload: payload.toString(), at: performance.now() }),
    );
  });
  afterAll(async () => {
    await listener.endAsync();
    await broker.stop();
  });
  beforeEach(() => {
    heard = [];
    dir = mkdtempSync(join(tmpdir(), "tidegate-replay-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const write = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return name;
  };
  const replay = (file: string, ...words: string[]) =>
    tidegate(["replay", file, "--broker", broker.url, ...words], { cwd: dir });

  it("publishes each line of a CSV under the topic that its columns make", async () => {
    const file = write(
      "motes.csv",
      'mote,ts,humidity,note\n1,1700000000000,40.5,"calm, so far"\n2,1700000000001,,"two\nlines"\n',
    );
    const { code, json } = await replay(file, "--topic", "motes/{mote}/env", "--speed", "0", "--json");
    expect(code).toBe(0);
    expect(json()).toMatchObject({ messages: 2, refused: 0, unheard: 0 });
    await expect.poll(() => heard.length).toBe(2);
    expect(heard.map(({ topic, payload }) => [topic, JSON.parse(payload)])).toEqual([
      ["motes/1/env", { ts: 1_700_000_000_000, humidity: 40.5, note: "calm, so far" }],
      ["motes/2/env", { ts: 1_700_000_000_001, note: "two\nlines" }],
    ]);
  });

  it("publishes recorded messages byte by byte, and lines of an export as the sensor sent them", async () => {
    const file = write(
      "mixed.ndjson",
      [
        '{"topic":"motes/1/env","payload":{"ts":1700000000000,"humidity":1}}',
        '{"topic":"motes/1/raw","payload":"21.50","receivedAt":1700000000000}',
        '{"topic":"motes/1/bytes","payloadBase64":"AAH/"}',
      ].join("\n"),
    );
    expect((await replay(file, "--speed", "1")).code).toBe(0);
    await expect.poll(() => heard.length).toBe(3);
    expect(heard.map(({ payload }) => payload).slice(0, 2)).toEqual(['{"ts":1700000000000,"humidity":1}', "21.50"]);
    const line = { id: "x", stream: "env", source: { mote: "7" }, ts: 5, receivedAt: 6, fields: { humidity: 2 } };
    await replay(write("export.ndjson", JSON.stringify(line)), "--topic", "motes/{mote}/env");
    await expect.poll(() => heard.length).toBe(4);
    expect(heard[3]).toMatchObject({ topic: "motes/7/env", payload: '{"ts":5,"humidity":2}' });
  });

  it("keeps the pace of the recording, so many times faster", async () => {
    const rows = Array.from({ length: 4 }, (_, i) => `1,${1_700_000_000 + i * 10}`);
    const file = write("slow.csv", `mote;time\n${rows.join("\n").replaceAll(",", ";")}\n`);
    await replay(file, "--topic", "motes/{mote}/env", "--speed", "100");
    await expect.poll(() => heard.length).toBe(4);
    const spanMs = (heard[3]?.at ?? 0) - (heard[0]?.at ?? 0);
    expect(spanMs).toBeGreaterThan(250);
    expect(spanMs).toBeLessThan(1_500);
  });

  it("replays a long file in order, as fast as it goes", async () => {
    const rows = Array.from({ length: 5_000 }, (_, i) => `${i}`);
    const { err, json } = await replay(
      write("long.csv", `n\n${rows.join("\n")}\n`),
      "--topic",
      "motes/1/n",
      "--speed",
      "0",
      "--json",
    );
    expect(json()).toMatchObject({ messages: 5_000 });
    await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(5_000);
    expect(heard.map(({ payload }) => JSON.parse(payload).n)).toEqual(rows.map(Number));
    expect(err).toMatch(/replay: \d+ %/);
  });

  it("says that nobody listens", async () => {
    const { out } = await replay(write("a.csv", "x\n1\n"), "--topic", "nowhere/at/all", "--speed", "0");
    expect(out).toContain("1 of them reached nobody");
  });

  it("names the line that cannot be replayed", async () => {
    const file = write("bad.csv", "mote,x\n1,2\n1,2,3\n");
    const { code, json } = await replay(file, "--topic", "motes/{mote}/env", "--speed", "0", "--json");
    expect(code).toBe(65);
    expect(json()).toMatchObject({ error: { code: "RECORDING_INVALID", line: 3 } });
    const { code: other, err } = await replay(file, "--topic", "motes/{room}/env", "--speed", "0");
    expect(other).toBe(65);
    expect(err).toContain("room");
  });

  it("wants to know the pace of a recording without times", async () => {
    const { code, err } = await replay(write("plain.csv", "x\n1\n"), "--topic", "motes/1/env");
    expect(code).toBe(64);
    expect(err).toContain("--rate");
    expect((await replay("plain.csv", "--topic", "motes/1/env", "--rate", "50")).code).toBe(0);
  });
});

describe("the pace of a replay", () => {
  it("follows recorded times, does not go back, and lets what has no time go along", () => {
    const pace = new Pace({ speed: 10 });
    expect([1_000, 2_000, null, 500, 3_000].map((ts) => pace.due(ts))).toEqual([0, 100, 100, 100, 200]);
  });

  it("gives every message its turn at a fixed rate", () => {
    const pace = new Pace({ rate: 4 });
    expect([null, 5, null].map((ts) => pace.due(ts))).toEqual([0, 250, 500]);
  });
});
