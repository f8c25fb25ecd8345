import { describe, expect, it } from "vitest";
import {
  addMoments,
  decodeMoments,
  encodeMoments,
  meanAndDeviation,
  momentScale,
  momentsOf,
} from "../../../src/federated/statistics.ts";

const bounds = { low: -40, high: 125, maxCount: 1_000 };
const sites = [
  [20, 21, 22.5, 19],
  [-5, -4.25, 0],
  [80, 81, 82, 83, 84],
];

describe("statistics of a fleet", () => {
  it("are those of all its values, whatever the order in which gateways answer", () => {
    const bodies = sites.map((values) => encodeMoments([momentsOf(values, bounds)]));
    const moments = bodies.map((body) => decodeMoments(body, 1, bounds.maxCount));
    const [a, b, c] = moments as [(typeof moments)[0], (typeof moments)[0], (typeof moments)[0]];
    const sum = addMoments(addMoments(a, b), c);
    expect(addMoments(c, addMoments(b, a))).toEqual(sum);
    const all = sites.flat();
    const mean = all.reduce((total, value) => total + value, 0) / all.length;
    const std = Math.sqrt(all.reduce((total, value) => total + (value - mean) ** 2, 0) / all.length);
    const told = meanAndDeviation(sum[0] ?? { count: 0, sum: 0, squares: 0 }, bounds);
    expect(told?.mean).toBeCloseTo(mean, 3);
    expect(told?.std).toBeCloseTo(std, 3);
  });

  it("one gateway counts for no more than was agreed, and one value neither", () => {
    const { count, sum } = momentsOf(new Array(50_000).fill(1e9), bounds);
    expect(count).toBe(1_000);
    expect(sum).toBe(1_000 * momentScale);
  });

  it.each([
    ["more than the most", { count: 1_001, sum: 0, squares: 0 }],
    ["a sum above its count", { count: 1, sum: 2 * momentScale, squares: 0 }],
    ["squares that no values have", { count: 10, sum: 9 * momentScale, squares: 1 }],
    ["squares above the values", { count: 10, sum: momentScale, squares: 5 * momentScale }],
    ["no number", { count: Number.NaN, sum: 0, squares: 0 }],
    ["a negative count", { count: -1, sum: 0, squares: 0 }],
  ])("are refused with %s", (_, moments) => {
    expect(() => decodeMoments(encodeMoments([moments]), 1, 1_000)).toThrow();
  });

  it("are refused with another number of numbers", () => {
    expect(() => decodeMoments(encodeMoments([momentsOf([1], bounds)]), 2, 1_000)).toThrow();
  });
});
