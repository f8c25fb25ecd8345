import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { seriesReadings, writeSeriesBundle } from "../support/series.ts";
import { jsonOf, type Ran, Site } from "./verbs-fixture.ts";

let site: Site;
let bundle: string;
let csv: string;
const columns = ["--time", "ts", "--source", "tank"];

beforeEach(async () => {
  site = new Site({
    models: { dir: "./models" },
    streams: { env: { topic: "tanks/{tank}", fields: { level: "level" }, model: "series" } },
    training: { minMemory: "1MiB", maxLoad: 100 },
  });
  bundle = await writeSeriesBundle(join(site.dir, "models"));
  csv = join(site.dir, "tanks.csv");
  const lines = [...seriesReadings()].flatMap(({ frame, sources }) =>
    Array.from(frame.ts, (ts, i) => `${ts},${sources[frame.source[i] ?? 0]?.tank},${frame.values[0]?.[i]}`),
  );
  writeFileSync(csv, `ts,tank,level\n${lines.join("\n")}\n`);
});
afterEach(() => site.remove());

type Report = { outcome: string; version: number; metrics: Record<string, number>; before: Record<string, number> };
const codeOf = (ran: Ran) => jsonOf<{ error: { code: string; message: string; help: string } }>(ran).error;

/** Readings as a daemon has left them. */
function fill(): void {
  openKeyRing({ dataDir: site.dataDir });
  const store = site.openStore();
  const sources = [{ tank: "a" }, { tank: "b" }];
  for (const { frame } of seriesReadings()) {
    const values = [frame.values[0] ?? new Float64Array(frame.count), new Float64Array(frame.count)];
    const fields = ["temperature", "humidity"];
    store.commit({
      frames: [{ ...frame, stream: "env", fields, values }],
      sources: frame.first === 0 ? [{ stream: "env", at: 0, sources }] : [],
      cursors: {},
      outbox: [],
      dead: [],
      snapshots: [],
      dropped: [],
    });
  }
  store.close();
}

describe("tidegate model train and eval on files", () => {
  it("writes a better version as a bundle that verifies, with events and a report as JSON lines", async () => {
    const out = join(site.dir, "series-2");
    const ran = await site.run("model", "train", "series", "--data", csv, ...columns, "--out", out, "--json");
    expect(ran.code).toBe(0);
    const events = ran.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event?: string });
    expect(events[0]).toMatchObject({ event: "data", manifest: { readings: 1_200 } });
    expect(events.filter(({ event }) => event === "progress").length).toBeGreaterThan(0);
    const report = jsonOf<Report>(ran);
    expect(report).toMatchObject({ outcome: "installed", version: 2 });
    expect(report.metrics.mse).toBeLessThan(0.5 * (report.before.mse ?? 0));
    expect((await site.run("model", "verify", out)).code).toBe(0);

    const better = await site.run("model", "eval", out, "--data", csv, ...columns, "--against", bundle, "--json");
    expect(better.code).toBe(0);
    expect(jsonOf(better)).toMatchObject({
      metrics: { mse: report.metrics.mse },
      baselines: { persistence: { mse: expect.any(Number) } },
      samples: expect.any(Number),
      gate: "passed",
    });
    const worse = await site.run("model", "eval", bundle, "--data", csv, ...columns, "--json");
    expect(worse.code).toBe(1);
    expect(jsonOf(worse)).toMatchObject({ gate: "failed" });
  }, 60_000);

  it("shows curves and figures to people, and says that a version is no better", async () => {
    const words = ["--data", csv, ...columns, "--out", join(site.dir, "x"), "--epochs", "2", "--rate", "1e-9"];
    const ran = await site.run("model", "train", "series", ...words);
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/1200 readings, \d+ examples: \d+ train/);
    expect(ran.out).toMatch(/^loss +[▁-█]+/m);
    expect(ran.out).toMatch(/not shown to be better/);
  }, 60_000);

  it.each([
    [["--data", "FILE", "--epochs", "0"], 64, /--epochs/],
    [["--data", "FILE", "--resume", "--fresh"], 64, /exclude each other/],
    [["--data", "FILE", "--resume"], 65, /there is none/],
    [["--data", "/nowhere.csv"], 74, /nowhere\.csv/],
    [["--out", "/tmp/x"], 64, /--out goes with --data/],
    [["--stream", "nothing"], 69, /./],
  ])(
    "%j ends with %i",
    async (words, code, text) => {
      const given = words.map((word) => (word === "FILE" ? csv : word));
      const named = words.includes("--data") ? [...columns, "--out", join(site.dir, "y")] : [];
      const ran = await site.run("model", "train", "series", ...given, ...named, "--json");
      expect(ran.code).toBe(code);
      expect(codeOf(ran).message).toMatch(text);
      expect(existsSync(join(site.dir, "y", "model.onnx"))).toBe(false);
    },
    60_000,
  );

  it("refuses a card that does not say how, and tells what to add", async () => {
    await writeSeriesBundle(join(site.dir, "models"), { train: undefined });
    const ran = await site.run("model", "train", "series", "--data", csv, ...columns, "--json");
    expect(ran.code).toBe(65);
    expect(codeOf(ran)).toMatchObject({ code: "CARD_UNTRAINABLE", help: expect.stringMatching(/Add `loss`/) });
  });
});

describe("tidegate model train on the buffer, without a daemon", () => {
  it("opens the data directory, and installs what is better", async () => {
    site.configure({
      models: { dir: "./models" },
      streams: { env: { topic: "tanks/{tank}", fields: { temperature: "t", humidity: "h" }, model: "series" } },
      training: { minMemory: "1MiB", maxLoad: 100 },
    });
    await writeSeriesBundle(join(site.dir, "models"), { fields: [{ name: "temperature" }] });
    fill();
    const golden = join(bundle, "golden.ndjson");
    writeFileSync(golden, "");
    const ran = await site.run("model", "train", "series", "--json");
    expect(ran.code).toBe(0);
    expect(jsonOf<Report>(ran)).toMatchObject({ outcome: "installed", version: 2 });
    expect(existsSync(join(site.dataDir, "models", "series", "model.onnx"))).toBe(true);
    const evaluated = await site.run("model", "eval", "series", "--json");
    expect(jsonOf(evaluated)).toMatchObject({ name: "series", version: 2, samples: expect.any(Number) });
    expect((await site.run("model", "ls", "--json")).out).toMatch(/"version":2/);
  }, 60_000);
});
