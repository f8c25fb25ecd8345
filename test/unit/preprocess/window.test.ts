import { describe, expect, it } from "vitest";
import { stepAfter } from "../../../src/preprocess/chronicle.ts";
import { feed } from "./feed.ts";

const window = { size: 3, hop: 1, maxGap: 100 };

describe("windows", () => {
  it("holds the last readings, oldest first, with identity of the newest", () => {
    const { given, push } = feed({ window, fields: ["a", "b"], outputs: ["b", "a"] });
    for (let i = 1; i <= 4; i++) push(i * 10, [i, -i], { source: 5, arrived: i * 10 + 3 });
    expect(given).toEqual([
      [5, 2, 30, 33, [-1, 1, -2, 2, -3, 3]],
      [5, 3, 40, 43, [-2, 2, -3, 3, -4, 4]],
    ]);
  });

  it("gives the first whole window at once, then one each hop, also a hop longer than the window", () => {
    for (const [hop, expected] of [
      [2, [2, 4, 6, 8]],
      [5, [2, 7]],
    ] as const) {
      const { given, push } = feed({ window: { ...window, hop } });
      for (let i = 0; i < 9; i++) push(i, i);
      expect(given.map(([, sequence]) => sequence)).toEqual(expected);
    }
  });

  it("starts anew after a pause longer than maxGap, not after one as long", () => {
    const { windows, push, pipeline, given } = feed({ window });
    for (const ts of [0, 10, 110, 211]) push(ts, ts);
    expect(windows()).toEqual([[0, 10, 110]]);
    expect(pipeline.fill(0)).toBe(1);
    for (const ts of [220, 230]) push(ts, ts);
    expect(given.at(-1)?.[4]).toEqual([211, 220, 230]);
  });

  it("keeps sources apart", () => {
    const { given, push } = feed({ window: { ...window, size: 2 } });
    for (let i = 0; i < 4; i++) push(i, i, { source: i % 2 });
    expect(given.map(([source, , , , values]) => [source, values])).toEqual([
      [0, [0, 2]],
      [1, [1, 3]],
    ]);
  });

  it("leaves out readings with a value that float32 cannot hold", () => {
    const { windows, push, pipeline } = feed();
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1e39, 1]) push(0, value);
    expect(windows()).toEqual([[1]]);
    expect(pipeline.counters.dropped.missing).toBe(3);
  });
});

describe("time", () => {
  it("leaves late readings out and counts them", () => {
    const { windows, push, pipeline } = feed({ window: { ...window, size: 2 } });
    for (const ts of [10, 20, 15, 20, 30]) push(ts, ts);
    expect(windows()).toEqual([
      [10, 20],
      [20, 20],
      [20, 30],
    ]);
    expect(pipeline.counters.dropped.late).toBe(1);
  });

  it("believes a sensor whose clock was set back, after one reading from the future", () => {
    const { given, push, pipeline } = feed({ window: { ...window, size: 2 } });
    push(0, 0);
    push(2e12, 1);
    for (let i = 1; i <= stepAfter + 1; i++) push(i, i);
    expect(pipeline.counters.dropped.late).toBe(stepAfter - 1);
    // The late ones are the past of those that follow.
    expect(given.map(([, , ts, , values]) => [ts, values])).toEqual([
      [stepAfter, [stepAfter - 1, stepAfter]],
      [stepAfter + 1, [stepAfter, stepAfter + 1]],
    ]);
  });

  it("does not take late readings between live ones for a clock set back", () => {
    const { push, pipeline } = feed();
    for (let i = 0; i < 40; i++) {
      push(1000 + i, 1);
      push(i, 2);
    }
    expect(pipeline.counters).toMatchObject({ windows: 40, dropped: { late: 40 } });
  });

  it("starts anew at once when the gateway's own clock goes back", () => {
    const { windows, push } = feed({ window: { ...window, size: 2 } });
    for (const ts of [50, 60, 10, 20]) push(ts, ts, { flags: 0 });
    expect(windows()).toEqual([
      [50, 60],
      [10, 20],
    ]);
  });
});

describe("sources", () => {
  it("takes no more than it may, counts the others, and forgets the idle", () => {
    const { push, pipeline, given } = feed({ stream: { maxSources: 2 }, idleExpiryMs: 1000 });
    for (const source of [0, 7, 9]) push(0, 1, { source });
    expect(pipeline.counters.dropped.sources).toBe(1);
    push(900, 1, { source: 7 });
    pipeline.tick(1500);
    expect(pipeline.sources).toBe(1);
    expect([pipeline.fill(0), pipeline.fill(7)]).toEqual([0, 1]);
    push(1500, 1, { source: 9 });
    expect(given.at(-1)?.[0]).toBe(9);
  });

  it("gives a new source nothing of one that was forgotten", () => {
    const { push, pipeline, windows } = feed({
      stream: { maxSources: 1 },
      idleExpiryMs: 10,
      window: { ...window, size: 2 },
    });
    push(0, 1, { source: 0 });
    pipeline.tick(100);
    push(5, 2, { source: 1 });
    expect(windows()).toEqual([]);
    push(6, 3, { source: 1 });
    expect(windows()).toEqual([[2, 3]]);
  });

  it("keeps everybody's window while their number grows", () => {
    const { push, windows } = feed({ window: { ...window, size: 2 } });
    for (let source = 0; source < 100; source++) push(0, source, { source });
    for (let source = 0; source < 100; source++) push(1, source + 0.5, { source });
    expect(windows()).toEqual(Array.from({ length: 100 }, (_, source) => [source, source + 0.5]));
  });
});
