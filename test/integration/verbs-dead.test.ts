import { mkdirSync } from "node:fs";
import { connectAsync } from "mqtt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KeptLetter } from "../../src/buffer/commit.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { jsonOf, Site, tidegate } from "./verbs-fixture.ts";

const letter = (payload: string | Buffer, more: Partial<KeptLetter> = {}): KeptLetter => ({
  stream: "env",
  topic: "motes/1/env",
  payload: Buffer.from(payload),
  size: Buffer.from(payload).length,
  code: "PAYLOAD_MALFORMED",
  reason: "it ends early",
  receivedAt: 1_700_000_000_000,
  ...more,
});

describe("tidegate dead, without a daemon", () => {
  let site: Site;
  beforeEach(() => {
    site = new Site();
    mkdirSync(site.dataDir);
  });
  afterEach(() => site.remove());

  it("lists letters, newest first, over several pages, and without their payloads", async () => {
    site.store({ dead: Array.from({ length: 60 }, (_, i) => letter(`{${i}`)) });
    const all = jsonOf<{ id: number }[]>(await site.run("dead", "ls", "--limit", "100", "--json"));
    expect(all).toHaveLength(60);
    expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => b - a));
    expect(Object.keys(all[0] ?? {})).toEqual(["id", "receivedAt", "stream", "topic", "size", "code", "reason"]);
    expect(jsonOf<unknown[]>(await site.run("dead", "ls", "--limit", "30", "--json"))).toHaveLength(30);
  });

  it("shows a letter: as text, as base64 when it is none, raw on demand", async () => {
    const odd = letter(Buffer.from([0xff, 0x00, 0x0a]), { stream: null, reason: "it is \u001b[2Jodd" });
    site.store({ dead: [letter('{"a":'), odd] });
    expect(jsonOf(await site.run("dead", "show", "1", "--json"))).toMatchObject({ text: '{"a":', isCutOff: false });
    const shown = await site.run("dead", "show", "2");
    expect(shown.out).toContain("payload, in base64 since it is no text: /wAK");
    expect(shown.out).toContain("it is \\u001b[2Jodd");
    const words = ["dead", "show", "2", "--raw", "--config", site.file];
    expect((await tidegate(...words)).out).toBe(Buffer.from([0xff, 0x00, 0x0a]).toString());
  });

  it("says that there is no such letter (65)", async () => {
    site.store({ dead: [letter("x")] });
    const ran = await site.run("dead", "show", "7", "--json");
    expect(ran.code).toBe(65);
    expect(jsonOf<{ error: { code: string } }>(ran).error.code).toBe("DEAD_LETTER_ABSENT");
    expect((await site.run("dead", "show", "x")).code).toBe(64);
  });

  it("purges what is named, and everything only when asked to", async () => {
    site.store({ dead: [letter("a"), letter("b"), letter("c")] });
    expect((await site.run("dead", "purge")).code).toBe(64);
    expect(jsonOf(await site.run("dead", "purge", "2", "--json"))).toEqual({ purged: 1 });
    expect(jsonOf(await site.run("dead", "purge", "--all", "--json"))).toEqual({ purged: 2 });
    expect((await site.run("dead", "ls")).err).toBe("There are no dead letters.\n");
  });

  it("replays nothing and forgets nothing when the broker is away (69)", async () => {
    site.store({ dead: [letter("a")] });
    expect((await site.run("dead", "replay", "--all")).code).toBe(69);
    expect(jsonOf<unknown[]>(await site.run("dead", "ls", "--json"))).toHaveLength(1);
  });
});

describeReal("tidegate dead and buffer, beside the daemon", () => {
  let broker: Mosquitto;
  let daemon: Daemon;
  beforeEach(async () => {
    broker = await startMosquitto();
    daemon = new Daemon({ sensors: { url: broker.url }, streams: { env: moteStream } });
    await daemon.start();
  });
  afterEach(async () => {
    await daemon.remove();
    await broker.stop();
  });
  const run = (...words: string[]) => tidegate(...words, "--config", `${daemon.dir}/tidegate.yaml`);

  it("exports what has arrived, and a letter that is replayed once the stream is mended becomes a reading", async () => {
    const payload = (ts: number, humidity: unknown) => JSON.stringify({ ts, humidity, temperature: 21 });
    const sensor = await connectAsync(broker.url);
    await sensor.publishAsync("motes/1/env", payload(1_700_000_000_000, 44), { qos: 1 });
    await sensor.publishAsync("motes/1/env", payload(1_700_000_005_000, "45"), { qos: 1 });
    await sensor.endAsync();
    await daemon.eventually(({ streams }) => (streams.env?.messages ?? 0) >= 2, "has taken both messages");
    const exported = () => run("buffer", "export", "--stream", "env", "--json");
    expect(jsonOf<{ fields: object }>(await exported()).fields).toEqual({ humidity: 44, temperature: 21 });
    const letters = jsonOf<{ id: number; code: string }[]>(await run("dead", "ls", "--json"));
    expect(letters.map(({ code }) => code)).toEqual(["PAYLOAD_TYPE"]);

    daemon.configure({ ...daemon.config, streams: { env: { ...moteStream, numericStrings: true } } });
    const before = await daemon.status();
    daemon.hangUp();
    await daemon.eventually(({ streams }) => streams.env?.messages === 0 && before.commits > 0, "has reloaded");
    await daemon.eventually(({ site }) => site.isOnline, "is online again");
    const replayed = await run("dead", "replay", "--all", "--json");
    expect(jsonOf(replayed)).toEqual({ replayed: [letters[0]?.id], kept: [] });
    await daemon.eventually(({ streams }) => (streams.env?.messages ?? 0) >= 1, "has taken the replayed message");
    expect(jsonOf<{ fields: object }>(await exported()).fields).toEqual({ humidity: 45, temperature: 21 });
    expect(jsonOf(await run("dead", "ls", "--json"))).toEqual([]);
    const stats = jsonOf<{ streams: { env: { readings: number } } }>(await run("buffer", "stats", "--json"));
    expect(stats.streams.env.readings).toBe(2);
    const models = jsonOf<{ name: string; active: boolean; streams: string[] }[]>(await run("model", "ls", "--json"));
    expect(models.filter(({ active }) => active)).toMatchObject([{ name: "mote-anomaly", streams: ["env"] }]);
  });
});
