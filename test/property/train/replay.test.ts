import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { balanceClasses } from "../../../src/train/class-balance.ts";
import type { DataSet } from "../../../src/train/data-set.ts";
import { readRows, readTargets } from "../../../src/train/example-rows.ts";
import { eventExamples, reservoir, takeExamples, withReplay } from "../../../src/train/replay.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { numbers } from "../../support/run-model.ts";
import { windowCard, windowData } from "../../support/window-data.ts";

const day = 86_400_000;
const all = (set: DataSet) => Int32Array.from(set.first, (_, i) => i);

/** What a model sees of examples. */
const seen = (set: DataSet, examples: Int32Array) => {
  const [input] = Object.values(set.inputs);
  return {
    x: input ? numbers(readRows(set, input, examples)) : [],
    y: numbers(readTargets(set, examples)),
    ts: [...examples].map((example) => set.ts[example]),
  };
};

function series(size: number, counts: readonly number[], isFlat = false, offset = 0): DataSet {
  const dims = isFlat ? ["batch", size] : ["batch", size, 1];
  const { data, push } = windowData(windowCard(size, { inputs: [{ name: "window", dims }] }), {
    window: { size, hop: 1, maxGap: day },
  });
  counts.forEach((count, source) => {
    push(
      `source ${source}`,
      Array.from({ length: count }, (_, i) => offset + 1_000 * source + i),
      0,
      day / 24,
    );
  });
  return data.finish();
}

const shape = fc.record({
  size: fc.integer({ min: 1, max: 4 }),
  counts: fc.array(fc.integer({ min: 60, max: 150 }), { minLength: 1, maxLength: 3 }),
  isFlat: fc.boolean(),
  capacity: fc.integer({ min: 0, max: 100 }),
  seed: fc.integer(),
});

describe("a reservoir", () => {
  it("keeps as many as there is room for, of each source and day nearly the same number", () => {
    fc.assert(
      fc.property(shape, ({ size, counts, capacity, seed }) => {
        const set = series(size, counts);
        const kept = reservoir(set, all(set), capacity, seed);
        expect(kept.length).toBe(Math.min(capacity, set.first.length));
        expect([...kept]).toEqual([...new Set(kept)].sort((a, b) => a - b));
        const stratum = (example: number) => `${set.source[example]}/${Math.floor((set.ts[example] ?? 0) / day)}`;
        const count = (examples: Int32Array) => {
          const totals = new Map<string, number>();
          for (const example of examples) totals.set(stratum(example), (totals.get(stratum(example)) ?? 0) + 1);
          return totals;
        };
        const whole = count(all(set));
        const had = count(kept);
        // A stratum that has fewer than another has no more to give.
        const most = Math.max(0, ...had.values());
        for (const [name, size] of whole) expect(had.get(name) ?? 0).toBeGreaterThanOrEqual(Math.min(size, most - 1));
        expect(reservoir(set, all(set), capacity, seed)).toEqual(kept);
      }),
      { numRuns: 50 },
    );
  });

  it("keeps known events before all others", () => {
    const set = series(2, [200]);
    set.marked[17] = 1;
    set.marked[18] = 1;
    expect([...reservoir(set, all(set), 20, 5)]).toEqual(expect.arrayContaining([17, 18]));
  });

  it("of events takes a window beside each, so that they stay apart", () => {
    const set = series(2, [100, 100]);
    for (const event of [10, 11, 13, 97]) set.marked[event] = 1;
    // The last one is the first source's last: what stands behind it is another source's.
    expect(set.source[97]).not.toBe(set.source[98]);
    expect([...eventExamples(set, all(set))]).toEqual([9, 10, 11, 12, 13, 14, 96, 97]);
  });

  it("is taken out with the rows that it reads, and shows a model the same", () => {
    fc.assert(
      fc.property(shape, ({ size, counts, isFlat, capacity, seed }) => {
        const set = series(size, counts, isFlat);
        const kept = reservoir(set, all(set), capacity, seed);
        const taken = takeExamples(set, kept);
        expect(seen(taken, all(taken))).toEqual(seen(set, kept));
        expect(taken.data.windows?.dims[0]).toBeLessThanOrEqual(kept.length * (size + 1));
      }),
      { numRuns: 50 },
    );
  });

  it("trains beside newer data with the share that it is given, and does nothing else", () => {
    fc.assert(
      fc.property(shape, fc.double({ min: 0.05, max: 0.9, noNaN: true }), (how, share) => {
        const { size, counts, isFlat, seed } = how;
        const old = series(size, counts, isFlat);
        const older = takeExamples(old, reservoir(old, all(old), 30, seed));
        const newer = series(size, [120, 80], isFlat, 5_000);
        const before = splitByTime(newer);
        const { data, split } = withReplay(newer, before, older, share);
        expect({ ...split, train: [] }).toEqual({ ...before, train: [] });
        expect(seen(data, split.train.slice(before.train.length))).toEqual(seen(older, all(older)));
        expect(seen(data, before.train)).toEqual(seen(newer, before.train));
        const weigh = (examples: Int32Array) => examples.reduce((sum, each) => sum + (data.weights[each] ?? 0), 0);
        expect(weigh(split.train.slice(before.train.length)) / weigh(split.train)).toBeCloseTo(share, 4);
      }),
      { numRuns: 50 },
    );
  });

  it("of another model is refused", () => {
    const newer = series(2, [100]);
    expect(() => withReplay(newer, splitByTime(newer), series(3, [100]), 0.5)).toThrow(/other inputs or targets/);
  });
});

it("balanced classes count alike in training, and all together as much as before", () => {
  const card = windowCard(1, {
    task: "classification",
    outputs: [{ name: "y", kind: "logits", dims: ["batch", 3] }],
    loss: { kind: "crossEntropy", output: "y" },
    target: { kind: "label", field: "l" },
  });
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 }), { minLength: 10, maxLength: 60 }), (labels) => {
      fc.pre(new Set(labels).size > 1);
      const { data, push } = windowData(card, { fields: ["a", "l"] });
      push(
        "one",
        labels.map((label, i) => [i, label]),
      );
      const set = data.finish();
      const train = all(set).slice(0, -3);
      fc.pre(new Set(labels.slice(0, -3)).size > 1);
      const { weights } = balanceClasses(card, set, train);
      const totals = [0, 1, 2].map((label) =>
        train.reduce((sum, each) => sum + (labels[each] === label ? (weights[each] ?? 0) : 0), 0),
      );
      const there = totals.filter((total) => total > 0);
      for (const total of there) expect(total).toBeCloseTo(train.length / there.length, 3);
      // What is held out counts by its class, which is counted in training alone.
      for (const held of [-3, -2, -1]) {
        const label = labels.at(held);
        const like = labels.slice(0, -3).indexOf(label ?? -1);
        expect(weights.at(held)).toBe(like < 0 ? 1 : weights[like]);
      }
    }),
    { numRuns: 50 },
  );
});
