import { describe, expect, it } from "vitest";
import { feed } from "./feed.ts";

const nan = Number.NaN;
const window = { size: 3, hop: 1, maxGap: 1000 };

describe("resample", () => {
  it("gives the mean of each cell, as its newest reading, once a later cell begins", () => {
    const { push, given } = feed({ stream: { every: 100 } });
    push(0, 1);
    push(60, 3);
    push(99, 5);
    expect(given).toEqual([]);
    push(100, 7);
    push(230, 9);
    expect(given).toEqual([
      [0, 2, 99, 99, [3]],
      [0, 3, 100, 100, [7]],
    ]);
  });

  it("gives the last of each cell when asked to", () => {
    const { push, windows } = feed({ stream: { every: 100, resample: "last" } });
    for (const [ts, value] of [
      [0, 1],
      [60, 3],
      [100, 0],
    ] as const)
      push(ts, value);
    expect(windows()).toEqual([[3]]);
  });

  it("repeats the last point over empty cells, and ends no window there", () => {
    const { push, given } = feed({ window, stream: { every: 100 } });
    for (const [ts, value] of [
      [0, 1],
      [100, 2],
      [400, 5],
      [500, 6],
    ] as const)
      push(ts, value);
    expect(given.map(([, sequence, , , values]) => [sequence, values])).toEqual([[2, [2, 2, 5]]]);
  });

  it("fills no gap beyond maxGap", () => {
    const { push, windows } = feed({ window: { ...window, size: 5, maxGap: 300 }, stream: { every: 100 } });
    for (const ts of [0, 100, 200, 501, 600, 700, 800, 900, 1000]) push(ts, ts);
    // From 200 to 501 the pause is longer than 300.
    expect(windows()).toEqual([[501, 600, 700, 800, 900]]);
  });

  it("does not fill half a century when there is no maxGap", () => {
    const { push, windows } = feed({ window: { ...window, maxGap: Number.POSITIVE_INFINITY }, stream: { every: 1 } });
    push(0, 1);
    for (let i = 0; i < 4; i++) push(1.7e12 + i, i);
    expect(windows()).toEqual([[0, 1, 2]]);
  });

  it("gathers fields that come one by one", () => {
    const { push, windows, pipeline } = feed({ fields: ["a", "b"], stream: { every: 100 } });
    push(0, [1, nan]);
    push(10, [nan, 2]);
    push(100, [3, nan]);
    push(200, [4, 5]);
    push(300, [6, 7]);
    expect(windows()).toEqual([
      [1, 2],
      [4, 5],
    ]);
    expect(pipeline.counters.dropped.missing).toBe(1);
  });

  it("transforms readings before they become points", () => {
    const { push, windows } = feed({ stream: { every: 100, transform: [{ field: "a", op: "difference" }] } });
    for (const [ts, value] of [
      [0, 1],
      [50, 2],
      [90, 6],
      [100, 0],
    ] as const)
      push(ts, value);
    expect(windows()).toEqual([[2.5]]);
  });

  it("finishes a cell by time when its source falls silent, and takes no more for it", () => {
    const { push, pipeline, given } = feed({ stream: { every: 100 } });
    push(10, 1, { arrived: 5010 });
    pipeline.tick(5149);
    expect(given).toEqual([]);
    pipeline.tick(5150);
    expect(given).toEqual([[0, 0, 10, 5010, [1]]]);
    pipeline.tick(9000);
    push(99, 2, { arrived: 9001 });
    expect(pipeline.counters.dropped.late).toBe(1);
    push(100, 3, { arrived: 9002 });
    push(200, 4, { arrived: 9003 });
    expect(given.map(([, , , , values]) => values)).toEqual([[1], [3]]);
  });
});
