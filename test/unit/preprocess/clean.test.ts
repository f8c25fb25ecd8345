import { describe, expect, it } from "vitest";
import { feed } from "./feed.ts";

const nan = Number.NaN;

describe("range and missing values", () => {
  it("leaves out a reading outside its range, or without a field that windows need", () => {
    const { push, windows, pipeline } = feed({
      fields: ["a", "b", "c"],
      outputs: ["a", "b"],
      clean: { range: { a: [0, 10] } },
    });
    push(0, [0, 1, nan]);
    push(1, [10, 2, nan]);
    push(2, [10.1, 3, 0]);
    push(3, [5, nan, 0]);
    expect(windows()).toEqual([
      [0, 1],
      [10, 2],
    ]);
    expect(pipeline.counters).toMatchObject({ changed: { range: 1 }, dropped: { missing: 2 } });
  });

  it("holds each field's last value, no longer than the limit", () => {
    const { push, windows, pipeline } = feed({ fields: ["a", "b"], clean: { missing: "hold", missingLimit: 100 } });
    push(0, [nan, 1]);
    push(10, [2, nan]);
    push(100, [nan, 3]);
    push(110, [nan, nan]);
    push(111, [nan, 4]);
    expect(windows()).toEqual([
      [2, 1],
      [2, 3],
      [2, 3],
    ]);
    expect(pipeline.counters).toMatchObject({ changed: { held: 4 }, dropped: { missing: 2 } });
  });
});

describe("linear", () => {
  const linear = { fields: ["a", "b"], clean: { missing: "linear", missingLimit: 100 } } as const;

  it("draws each field's line once its next value comes, in order and as themselves", () => {
    const { push, given } = feed(linear);
    push(0, [0, 10]);
    push(10, [nan, 20]);
    push(30, [nan, nan]);
    expect(given).toHaveLength(1);
    push(40, [8, nan]);
    // The second reading is whole now; the third still lacks b.
    expect(given).toHaveLength(2);
    push(50, [9, 60]);
    expect(given.map(([, sequence, ts, , values]) => [sequence, ts, values])).toEqual([
      [0, 0, [0, 10]],
      [1, 10, [2, 20]],
      [2, 30, [6, 40]],
      [3, 40, [8, 50]],
      [4, 50, [9, 60]],
    ]);
  });

  it("gives up readings whose gap is too long, and goes on with the rest", () => {
    const { push, windows, pipeline } = feed(linear);
    push(0, [1, 1]);
    push(50, [nan, 2]);
    push(101, [3, 3]);
    push(111, [nan, 4]);
    push(121, [5, 5]);
    expect(windows()).toEqual([
      [1, 1],
      [3, 3],
      [4, 4],
      [5, 5],
    ]);
    expect(pipeline.counters.dropped.missing).toBe(1);
  });

  it("draws over a gap that is as long as the limit", () => {
    const { push, windows } = feed({ clean: { missing: "linear", missingLimit: 100 } });
    push(0, 0);
    push(50, nan);
    push(100, 4);
    expect(windows()).toEqual([[0], [2], [4]]);
  });

  it("does not wait for a field that never came, nor for one that windows do not need", () => {
    const { push, windows, pipeline } = feed({ ...linear, outputs: ["a"] });
    push(0, [nan, 1]);
    push(10, [1, nan]);
    push(20, [2, nan]);
    expect(windows()).toEqual([[1], [2]]);
    expect(pipeline.counters.dropped.missing).toBe(1);
  });

  it("bounds what waits", () => {
    const { push, windows, pipeline } = feed({ clean: { missing: "linear", missingLimit: 1e9 } });
    push(0, 0);
    for (let i = 1; i <= 1000; i++) push(i, nan);
    push(1001, 1001);
    // The last value takes a place too.
    expect(windows()).toHaveLength(1 + 128);
    expect(windows().at(-2)?.[0]).toBeCloseTo(1000, 3);
    expect(pipeline.counters.dropped.missing).toBe(1000 - 127);
  });
});

describe("duplicates", () => {
  it("drops a reading with time and values of the one before it, missing ones included", () => {
    const { push, windows, pipeline } = feed({ fields: ["a", "b"], outputs: ["a"], clean: { duplicates: "drop" } });
    for (const [ts, a, b] of [
      [0, 1, nan],
      [0, 1, nan],
      [0, 1, 5],
      [1, 1, 5],
      [1, 2, 5],
    ] as const)
      push(ts, [a, b]);
    expect(windows()).toEqual([[1], [1], [1], [2]]);
    expect(pipeline.counters.dropped.duplicate).toBe(1);
  });
});

describe("outliers", () => {
  const hampel = { window: 5, sigmas: 3 };
  const values = [1, 2, 1.5, 1.2, 50, 1.8, 1.1, 1.6, 1.3, 60, 60, 60, 60];

  it("drops a spike and believes a lasting step once it has the majority", () => {
    const { push, windows, pipeline } = feed({ clean: { outliers: "drop", hampel } });
    for (const [i, value] of values.entries()) push(i, value);
    expect(windows().map(([value]) => value)).toEqual(
      [1, 2, 1.5, 1.2, 1.8, 1.1, 1.6, 1.3, 60, 60].map((value) => Math.fround(value)),
    );
    expect(pipeline.counters.changed.outlier).toBe(3);
  });

  it("puts the median in its place", () => {
    const { push, windows } = feed({ clean: { outliers: "hold", hampel } });
    for (const [i, value] of values.slice(0, 5).entries()) push(i, value);
    expect(windows().at(-1)).toEqual([1.5]);
  });

  it("judges nothing where most values are equal", () => {
    const { push, windows } = feed({ clean: { outliers: "drop", hampel } });
    for (const [i, value] of [0, 0, 0, 0, 0, 0, 1, 0].entries()) push(i, value);
    expect(windows()).toHaveLength(8);
  });

  it("does not measure by values from before a gap", () => {
    const { push, windows } = feed({ clean: { outliers: "drop", hampel } });
    for (const [i, value] of [1, 2, 1.5, 1.2, 1.4].entries()) push(i, value);
    push(1e6, 50);
    expect(windows().at(-1)).toEqual([50]);
  });
});
