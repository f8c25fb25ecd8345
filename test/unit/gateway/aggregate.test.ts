import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import type { Frame } from "../../../src/base/frame.ts";
import { Aggregation, allComplete, openFrom } from "../../../src/gateway/aggregate.ts";
import { Aggregator } from "../../../src/gateway/aggregator.ts";
import { frame, startTs } from "../../support/frames.ts";

const minute = 60_000;
const sources = [{ mote: "1" }, { mote: "2" }];
/** 17:13 and 20 s: the frames' windows begin in the middle of a minute. */
const firstWindow = Math.floor(startTs / minute) * minute;

describe("aggregates", () => {
  it("hold count, extremes, mean, deviation and quantiles as numpy gives them", () => {
    // np.mean, np.std, np.quantile of [2, 4, 4, 4, 5, 5, 7, 9]: 5, 2, [4.5, 8.3] at 0.5 and 0.95
    const values = Float64Array.of(2, 4, 4, 4, 5, 5, 7, 9);
    const one: Frame = { ...frame("s", 0, 8, 1), values: [values, values] };
    const aggregation = new Aggregation(86_400_000);
    aggregation.add(one, 8);
    const [made] = aggregation.take("s", ["a", "b"], sources, [0.5, 0.95]);
    expect(made?.readings).toBe(8);
    expect(made?.fields.a).toMatchObject({ count: 8, min: 2, max: 9, mean: 5, std: 2 });
    expect(made?.fields.a?.quantiles["0.5"]).toBeCloseTo(4.5);
    expect(made?.fields.a?.quantiles["0.95"]).toBeCloseTo(8.3);
  });

  it("count what is missing as missing", () => {
    const gaps = Float64Array.of(1, Number.NaN, 3, Number.POSITIVE_INFINITY);
    const one: Frame = { ...frame("s", 0, 4, 1), values: [gaps, gaps] };
    const aggregation = new Aggregation(86_400_000);
    aggregation.add(one, 4);
    expect(aggregation.take("s", ["a", "b"], sources, [])[0]?.fields.a).toMatchObject({ count: 2, mean: 2 });
  });

  it("keep apart sources and windows of time", () => {
    const aggregation = new Aggregation(minute);
    aggregation.add(frame("s", 0, 100), 100);
    const made = aggregation.take("s", ["a", "b"], sources, []);
    expect(made.map(({ source, from, readings }) => [source.mote, (from - firstWindow) / minute, readings])).toEqual([
      ["1", 0, 20],
      ["2", 0, 20],
      ["1", 1, 30],
      ["2", 1, 30],
    ]);
    expect(new Set(made.map(({ id }) => id)).size).toBe(4);
  });

  it("wait while a window can grow, and no longer", () => {
    const frames = [frame("s", 0, 100)];
    const now = 100_000;
    expect(openFrom(frames, minute, now, "boot-1")).toBe(40);
    expect(openFrom(frames, minute, now + 10 * minute, "boot-1")).toBe(allComplete);
    expect(openFrom(frames, minute, now, "another boot")).toBe(allComplete);
  });
});

describe("the aggregator", () => {
  it("brings every reading into exactly one aggregate, whenever it runs", async () => {
    const clock = new FakeClock();
    const stored: Frame[] = [];
    let cursor = 0;
    const counted: number[] = [];
    const aggregator = new Aggregator(
      {
        stream: "s",
        fields: ["temperature", "humidity"],
        everyMs: minute,
        quantiles: [],
        clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), bootId: "boot-1" },
        sourcesOf: () => sources,
        read: async (from) => stored.filter(({ first }) => first >= from),
        commit: async (aggregates, next) => {
          counted.push(...aggregates.map(({ readings }) => readings));
          cursor = next;
        },
      },
      0,
    );
    // Frames are cut where windows end, so that reading from a cursor finds whole ones.
    for (let at = 0; at < 1_000; at += 20) {
      stored.push(frame("s", at, 20));
      clock.advance(20_000);
      await aggregator.run();
    }
    await aggregator.run(true);
    expect(cursor).toBe(1_000);
    expect(counted.reduce((a, b) => a + b, 0)).toBe(1_000);
  });
});
