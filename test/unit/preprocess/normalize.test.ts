import { describe, expect, it } from "vitest";
import { freezeAfter } from "../../../src/preprocess/normalize.ts";
import { feed } from "./feed.ts";

describe("normalize", () => {
  it.each(["model", "none"] as const)("%s passes values on", (normalize) => {
    const { push, windows } = feed({ stream: { normalize } });
    for (const value of [5, 100]) push(value, value);
    expect(windows()).toEqual([[5], [100]]);
  });

  it("scales a whole window to zero mean and unit deviation of all readings so far", () => {
    const { push, windows, pipeline } = feed({
      window: { size: 2, hop: 1, maxGap: 1e6 },
      stream: { normalize: "zscore" },
    });
    for (const [i, value] of [1, 3, 5].entries()) push(i, value);
    const std = Math.sqrt(8 / 3);
    expect(windows()).toEqual([
      [-1, 1],
      [0, Math.fround(2 / std)],
    ]);
    expect(pipeline.statistics).toMatchObject({ count: 3, mean: [3], min: [1], max: [5] });
    expect(pipeline.statistics.std[0]).toBeCloseTo(std, 12);
  });

  it("scales to 0…1 by smallest and largest, over all sources", () => {
    const { push, windows } = feed({ stream: { normalize: "minmax" } });
    push(0, 10, { source: 0 });
    push(0, 20, { source: 1 });
    push(0, 15, { source: 2 });
    expect(windows()).toEqual([[0], [1], [0.5]]);
  });

  it("scales each column by itself, in the model's order", () => {
    const { push, windows } = feed({ fields: ["a", "b"], outputs: ["b", "a"], stream: { normalize: "minmax" } });
    push(0, [0, 100]);
    push(1, [4, 300]);
    push(2, [1, 200]);
    expect(windows().at(-1)).toEqual([0.5, 0.25]);
  });

  it("makes a column that never varied 0", () => {
    const { push, windows } = feed({ stream: { normalize: "zscore" } });
    for (let i = 0; i < 3; i++) push(i, 7);
    expect(windows()).toEqual([[0], [0], [0]]);
  });

  it("keeps small changes of large values apart", () => {
    const { push, windows } = feed({ stream: { normalize: "minmax" } });
    for (const value of [1e9, 1e9 + 1, 1e9 + 0.5]) push(0, value);
    expect(windows().at(-1)).toEqual([0.5]);
  });

  it("keeps statistics that are frozen, asked to or after enough readings", () => {
    const asked = feed({ stream: { normalize: "minmax" } });
    for (const value of [0, 10]) asked.push(0, value);
    asked.pipeline.freezeStatistics();
    asked.push(0, 20);
    expect(asked.windows().at(-1)).toEqual([2]);

    const long = feed({ stream: { normalize: "minmax" } });
    for (let i = 0; i < freezeAfter; i++) long.push(i, i % 2);
    long.push(freezeAfter, 9);
    expect(long.windows().at(-1)).toEqual([9]);
  });

  it("scales by statistics that it is given", () => {
    const statistics = { count: 100, mean: [5], std: [2], min: [0], max: [9] };
    const { push, windows, pipeline } = feed({ statistics, stream: { normalize: "zscore" } });
    for (const value of [5, 9]) push(0, value);
    expect(windows()).toEqual([[0], [2]]);
    expect(pipeline.statistics).toEqual(statistics);
  });

  it("stays finite, whatever the values", () => {
    const statistics = { count: 10, mean: [0], std: [1e-9], min: [0], max: [1e-320] };
    for (const normalize of ["zscore", "minmax"] as const) {
      const { push, windows } = feed({ statistics, stream: { normalize } });
      for (const value of [3e38, -3e38, 0]) push(0, value);
      expect(windows().flat().every(Number.isFinite)).toBe(true);
    }
  });

  it("lets no reading into the statistics that reaches no window", () => {
    const { push, pipeline } = feed({ fields: ["a", "b"], stream: { normalize: "zscore" } });
    push(0, [1, Number.NaN]);
    push(1, [2, 2]);
    expect(pipeline.statistics).toMatchObject({ count: 1, mean: [2, 2] });
  });
});
