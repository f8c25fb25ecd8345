import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../../src/base/frame.ts";
import { open, seal } from "../../../src/crypto/sealing.ts";
import { driftLimit, measureDrift, referenceOf } from "../../../src/train/drift.ts";
import { keepExamples, mixKept } from "../../../src/train/kept-examples.ts";
import { ReplayFile } from "../../../src/train/replay-file.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { StreamsData } from "../../../src/train/streams-data.ts";
import { plainStream, windowCard, windowData } from "../../support/window-data.ts";

const frameOf = (stream: string, levels: readonly number[], from = 0): Frame => ({
  stream,
  fields: ["a"],
  first: 0,
  count: levels.length,
  boot: "b",
  wallOffset: 0,
  source: new Uint32Array(levels.length),
  ts: Float64Array.from(levels, (_, i) => from + i * 1_000),
  arrived: new Float64Array(levels.length),
  flags: new Uint8Array(levels.length).fill(1),
  values: [Float64Array.from(levels)],
});
const count = (n: number, from = 0) => Array.from({ length: n }, (_, i) => from + i);
const stream = (name: string) => ({ stream: { name, fields: ["a"], config: plainStream } });

describe("readings of several streams", () => {
  it("become one data set, in which sources of the same name stay apart", () => {
    const all = new StreamsData(windowCard(4), [stream("left"), stream("right"), stream("empty")], 1);
    all.frame({ frame: frameOf("left", count(40)), sources: [{ x: "1" }] });
    all.frame({ frame: frameOf("right", count(20, 500)), sources: [{ x: "1" }] });
    all.frame({ frame: frameOf("other", count(20)), sources: [{ x: "1" }] });
    const set = all.finish();
    expect(set.first.length).toBe(36 + 16);
    expect(new Set(set.source).size).toBe(2);
    expect(set.manifest).toMatchObject({
      from: "streams left, right, empty",
      readings: 60,
      streams: [
        { stream: "left", sources: ["1"] },
        { stream: "right", sources: ["1"] },
      ],
    });
    const split = splitByTime(set, { train: 0.6, validation: 0, calibration: 0, test: 0.4 });
    expect(new Set([...split.test].map((i) => set.source[i]))).toEqual(new Set([0, 1]));
  });

  it("of which none has an example are refused", () => {
    const all = new StreamsData(windowCard(4), [stream("left"), stream("right")], 1);
    expect(() => all.finish()).toThrow(/streams left, right.*no example/);
  });
});

describe("what is kept of the past", () => {
  const series = (from: number, n = 100, at = 0) => {
    const { data, push } = windowData(windowCard(4));
    push("s", count(n, from), at);
    return data.finish();
  };

  it("comes back from its file as it was, and not with another key", async () => {
    const set = series(0);
    const key = new Uint8Array(32).fill(7);
    const file = join(mkdtempSync(join(tmpdir(), "tidegate-")), "m.replay");
    const sealer = (k: Uint8Array) => ({ seal: (p: Uint8Array) => seal(p, k), open: (p: Uint8Array) => open(p, k) });
    expect(await new ReplayFile(file, sealer(key)).read()).toBeNull();
    await new ReplayFile(file, sealer(key)).write(set);
    expect(await new ReplayFile(file, sealer(key)).read()).toEqual(set);
    expect(await new ReplayFile(file, sealer(new Uint8Array(32))).read()).toBeNull();
  });

  it("is mixed in with its share, but for what is as new as anything that is held back", () => {
    const newer = series(1_000, 100, 50_000);
    const split = splitByTime(newer);
    const kept = series(0, 200);
    const mixed = mixKept(newer, split, kept, { examples: 100, share: 0.2 });
    const held = Math.min(...[...split.validation, ...split.calibration, ...split.test].map((i) => newer.ts[i] ?? 0));
    expect(mixed.replayed).toBe(kept.ts.filter((ts) => ts < held).length);
    expect(mixed.replayed).toBeLessThan(kept.first.length);
    const old = mixed.split.train.slice(split.train.length);
    expect(old.every((i) => (mixed.data.ts[i] ?? 0) < held)).toBe(true);
    const next = keepExamples(mixed.data, mixed.split, { examples: 30, share: 0.2 }, 1);
    expect(next.first.length).toBe(30);
    expect(new Set(next.weights)).toEqual(new Set([1]));
    // Night by night it stays one entry per stream.
    expect(next.manifest.streams).toHaveLength(1);
  });

  it("for a model of another shape is passed over", () => {
    const newer = series(1_000);
    const split = splitByTime(newer);
    const { data, push } = windowData(windowCard(5));
    push("s", count(50));
    expect(mixKept(newer, split, data.finish(), { examples: 10, share: 0.2 })).toEqual({
      data: newer,
      split,
      replayed: 0,
    });
  });
});

it("drift is told by field and by loss", () => {
  const card = windowCard(4);
  const make = (from: number) => {
    const { data, push } = windowData(card);
    push("s", count(300, from));
    return data.finish();
  };
  const all = (set: { first: Int32Array }) => Int32Array.from(set.first, (_, i) => i);
  const set = make(0);
  const losses = Float64Array.from(count(100), (i) => i / 100);
  const reference = referenceOf(card, set, all(set), losses);
  const same = measureDrift(reference, card, set, all(set), losses);
  expect(same.map(({ name }) => name)).toEqual(["a", "loss of an example"]);
  expect(Math.max(...same.map(({ psi }) => psi))).toBeLessThan(0.05);
  const moved = make(200);
  const [a, loss] = measureDrift(
    reference,
    card,
    moved,
    all(moved),
    losses.map((each) => each + 0.5),
  );
  expect(a?.psi).toBeGreaterThan(driftLimit);
  expect(loss?.psi).toBeGreaterThan(driftLimit);
});
