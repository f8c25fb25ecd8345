import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import type { Steps } from "../../src/commands/try/trial.ts";
import { tidegate } from "../support/command-line.ts";
import { moteStream } from "../support/daemon.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-try-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function configure(stream: object = {}): void {
  const streams = { env: { ...moteStream, alarm: { onAfter: 1 }, ...stream } };
  const gateway = { id: "gw-1", profile: "generic-x64", dataDir: "data" };
  writeFileSync(join(dir, "tidegate.yaml"), stringify({ gateway, sensors: { url: "mqtt://127.0.0.1:1" }, streams }));
}

/** Sixteen calm readings of one mote, then one that no mote sends. */
const readings = (last: number): string =>
  Array.from({ length: 17 }, (_, i) => {
    const payload = { ts: 1_700_000_000_000 + i * 5_000, humidity: i === 16 ? last : 45.1, temperature: 27.9 };
    return JSON.stringify({ topic: "motes/3/env", payload });
  }).join("\n");

const tried = async (...words: string[]) => {
  const { code, out } = await tidegate(["try", "--json", ...words], { cwd: dir });
  const lines = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { code, steps: lines.slice(0, -1) as { topic: string; streams: Steps[] }[], sums: lines.at(-1) };
};

describe("tidegate try", () => {
  it("shows a recording's way to a verdict, without a broker, and leaves nothing behind", async () => {
    configure();
    writeFileSync(join(dir, "calm.ndjson"), readings(45.1));
    const { code, steps, sums } = await tried("--file", "calm.ndjson");
    expect(code).toBe(0);
    expect(steps.map(({ streams }) => streams[0]?.window)).toEqual([
      ...Array.from({ length: 15 }, (_, i) => `${i + 1}/16`),
      "16/16",
      "16/16",
    ]);
    expect(steps[0]?.streams[0]).toMatchObject({ readings: [{ source: "3", ts: 1_700_000_000_000 }], results: [] });
    const last = steps.at(-1)?.streams[0];
    expect(last?.results).toEqual([{ model: "mote-anomaly 1", outputs: { score: expect.any(Number) } }]);
    expect(last).toMatchObject({ verdict: "normal", published: 1 });
    expect(sums).toEqual({ messages: 17, readings: 17, windows: 2, alarms: 0, dead: 0, untaken: 0 });
    expect(readdirSync(dir).sort()).toEqual(["calm.ndjson", "tidegate.yaml"]);
  });

  it("reaches the alarm that the daemon would", async () => {
    configure();
    writeFileSync(join(dir, "event.ndjson"), readings(95));
    const { steps, sums } = await tried("--file", "event.ndjson");
    expect(steps.at(-1)?.streams[0]?.verdict).toBe("alarm");
    expect(sums).toMatchObject({ windows: 2, alarms: 1 });
  });

  it("shows what cleaning does to a reading", async () => {
    configure({ clean: { range: { humidity: [0, 100] }, missing: "hold" } });
    const at = (i: number, humidity: number) =>
      JSON.stringify({ ts: 1_700_000_000_000 + i * 5_000, humidity, temperature: 20 });
    const { out } = await tidegate(["try", at(0, 40), at(1, 400)], { cwd: dir });
    expect(out).toMatch(
      /decoded +humidity 400, temperature 20\n +cleaned +humidity 40, temperature 20\n +window +2\/16/,
    );
    configure({ clean: { range: { humidity: [0, 100] }, missing: "drop" } });
    const { steps } = await tried(at(0, 40), at(1, 400));
    expect(steps[1]?.streams[0]).toMatchObject({
      readings: [{ cleaned: null }],
      dropped: { missing: 1 },
      window: "1/16",
    });
  });

  it("says why a payload cannot be read, and that nobody takes a topic", async () => {
    configure();
    const { code, steps, sums } = await tried("--topic", "motes/1/env", "{broken");
    expect(code).toBe(1);
    expect(steps[0]?.streams[0]?.dead?.code).toBe("PAYLOAD_MALFORMED");
    expect(sums).toMatchObject({ dead: 1, readings: 0 });
    const elsewhere = await tidegate(["try", "--topic", "elsewhere", "{}"], { cwd: dir });
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.out).toContain("no stream takes this topic");
  });

  it("takes payloads from standard input, for a stream that has no model", async () => {
    configure({ model: undefined });
    const words = ["try", "--file", "-", "--stream", "env", "--json"];
    const { code, json } = await tidegate(words, { cwd: dir, input: '{"humidity": 1}\n\n{"humidity": 2}\n' });
    expect(code).toBe(0);
    expect(json()).toMatchObject({ messages: 2, readings: 2, windows: 0 });
  });

  it("takes a wrong name of a stream, or nothing to try, for a fault of the command line", async () => {
    configure();
    const { code, err } = await tidegate(["try", "--stream", "enw", "{}"], { cwd: dir });
    expect(code).toBe(64);
    expect(err).toContain("did you mean env?");
    expect((await tidegate(["try"], { cwd: dir })).code).toBe(64);
  });
});
