import { describe, expect, it } from "vitest";
import type { TransformStep } from "../../../src/preprocess/transform.ts";
import { feed } from "./feed.ts";

/** What becomes of values that come once a second. */
function through(steps: readonly TransformStep[], values: readonly number[], outputs: readonly string[] = ["a"]) {
  const { push, windows, pipeline } = feed({ fields: ["a"], outputs, stream: { transform: steps } });
  for (const [i, value] of values.entries()) push(i * 1000, value);
  return { windows: windows(), dropped: pipeline.counters.dropped };
}

describe("transform", () => {
  it.each([
    ["scale", { by: 2 }, [1, 2, 4], [2, 4, 8]],
    ["offset", { by: -1 }, [1, 2, 4], [0, 1, 3]],
    ["log", {}, [0, Math.E - 1, -2], [0, 1]],
    ["difference", {}, [1, 2, 4], [1, 2]],
    ["rate", {}, [1, 2, 4], [1, 2]],
    ["mean", { over: 2 }, [1, 2, 4], [1.5, 3]],
    ["std", { over: 3 }, [2, 4, 6], [1.632993]],
    ["min", { over: 2 }, [3, 1, 2], [1, 1]],
    ["max", { over: 2 }, [3, 1, 2], [3, 2]],
  ] as const)("%s", (op, options, values, expected) => {
    const { windows, dropped } = through([{ field: "a", op, ...options }], values);
    expect(windows).toHaveLength(expected.length);
    for (const [i, [value]] of windows.entries()) expect(value).toBeCloseTo(expected[i] as number, 5);
    expect(dropped.transform).toBe(values.length - expected.length);
  });

  it("gives change per second, and none between two readings of one instant", () => {
    const { push, windows, pipeline } = feed({ stream: { transform: [{ field: "a", op: "rate" }] } });
    push(0, 0);
    push(500, 1);
    push(500, 2);
    push(2500, 6);
    expect(windows()).toEqual([[2], [2]]);
    expect(pipeline.counters.dropped.transform).toBe(2);
  });

  it("computes new fields from fields, in order, and leaves the old ones", () => {
    const steps: TransformStep[] = [
      { field: "a", op: "difference", as: "step" },
      { field: "step", op: "scale", by: 10 },
      { field: "step", op: "offset", by: 1, as: "more" },
    ];
    expect(through(steps, [1, 2, 4], ["more", "a", "step"]).windows).toEqual([
      [11, 2, 10],
      [21, 4, 20],
    ]);
  });

  it("asks for the fields that a window's columns are computed from, and no others", () => {
    const { push, windows } = feed({
      fields: ["a", "b", "c"],
      outputs: ["sum"],
      stream: { transform: [{ field: "b", op: "scale", by: 2, as: "sum" }] },
    });
    push(0, [Number.NaN, 1, Number.NaN]);
    push(1, [1, Number.NaN, 1]);
    expect(windows()).toEqual([[2]]);
  });

  it("keeps a missing value out of what follows", () => {
    expect(through([{ field: "a", op: "mean", over: 2 }], [1, Number.NaN, 3]).windows).toEqual([[2]]);
  });

  it("starts anew after a gap: a difference over it says nothing", () => {
    const { push, windows } = feed({ stream: { transform: [{ field: "a", op: "difference" }] } });
    push(0, 1);
    push(10, 2);
    push(1e6, 100);
    push(1e6 + 10, 103);
    expect(windows()).toEqual([[1], [3]]);
  });
});
