import { describe, expect, it, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { topK } from "../../../src/federated/top-k.ts";
import { decodeBody, encodeBody, normOf, restoreBody, shorten } from "../../../src/federated/update-body.ts";
import { keepOf, seededSupport } from "../../../src/federated/update-space.ts";
import { change, headers, nameOf, plainDense, spaceOf } from "./codec-fixture.ts";

const length = 50_000;
const vector = change(length, 1);
const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
const minus = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, i) => value - (b[i] ?? 0));

describe.each(headers.map((header) => [nameOf(header), header] as const))("%s", (_, header) => {
  const space = spaceOf(header, length);
  const body = encodeBody(vector, space, seededRandom(2));
  const decoded = decodeBody(body, space);

  it("brings the coordinates of its support, none else", () => {
    const restored = restoreBody(decoded, space);
    const own = new Set(decoded.indices ?? vector.keys());
    expect(own.size).toBe(header.support === "dense" ? length : keepOf(space));
    expect(restored.every((value, i) => own.has(i) || value === 0)).toBe(true);
    if (space.common) expect(decoded.indices).toEqual(space.common);
  });

  it("loses less than there was, so that a residual dies away", () => {
    const restored = restoreBody(decoded, space);
    const own = vector.map((value, i) => (decoded.indices === null || decoded.indices.includes(i) ? value : 0));
    const lost = squares(minus(own, restored)) / squares(own);
    const bound = { plain: 1e-9, quantized: header.bits === 8 ? 1e-3 : 0.2, sign: 0.9 }[header.codec] ?? 0;
    expect(lost).toBeLessThan(bound);
    expect(normOf(decoded, space)).toBeCloseTo(Math.sqrt(squares(restored)), 5);
  });

  it("has the size that its bits ask for", () => {
    const count = decoded.values.length;
    const scales = { plain: 0, quantized: 12 / 128, sign: 12 / 512 }[header.codec] ?? 0;
    const listed = header.support === "listed" ? 32 + entropyBits(length, count) * 1.05 : 0;
    expect(body.length * 8).toBeLessThanOrEqual(count * (header.bits + scales) + listed + 32);
  });

  it("gives the same bytes for the same seed, and no coordinate beyond the clip", () => {
    expect(encodeBody(vector, space, seededRandom(2))).toEqual(body);
    const near = { ...space, header: { ...space.header, clip: 0.005 } };
    const cut = restoreBody(decodeBody(encodeBody(vector, near, seededRandom(2)), near), near);
    const most = (values: Float32Array) => values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    expect(most(vector)).toBeGreaterThan(0.01);
    expect(most(cut)).toBeLessThanOrEqual(0.005 * (1 + 1 / 64));
  });
});

test("a change that is too long is shortened, another stays as it is", () => {
  const long = Float32Array.of(3, 4);
  shorten(long, 10);
  expect([...long]).toEqual([3, 4]);
  shorten(long, 1);
  expect(long[0]).toBeCloseTo(0.6, 6);
  expect(long[1]).toBeCloseTo(0.8, 6);
});

/** What a choice of `count` out of `length` takes at least. */
function entropyBits(length: number, count: number): number {
  let bits = 0;
  for (let i = 0; i < count; i++) bits += Math.log2((length - i) / (count - i));
  return bits;
}

test.each([
  [0.001, 1.05],
  [0.004, 1.05],
  [0.02, 1.05],
  [0.1, 1.05],
  // From here on a gap takes less than two bits, and whole ones are too coarse.
  [0.3, 1.15],
])("indices at share %d take at most %d times what there is to tell", (share, most) => {
  const header = { ...plainDense, codec: "sign", bits: 1, support: "listed" } as const;
  const space = spaceOf(header, 200_000, share);
  const body = encodeBody(change(200_000, 4), space, seededRandom(1));
  const count = keepOf(space);
  const indexBits = body.length * 8 - count * (1 + 12 / 512) - 32;
  expect(indexBits / entropyBits(200_000, count)).toBeLessThan(most);
});

test("quantized values are right in the mean", () => {
  const space = spaceOf({ ...plainDense, codec: "quantized", bits: 4 }, 128);
  const few = change(128, 7);
  const random = seededRandom(3);
  const sum = new Float64Array(128);
  for (let round = 0; round < 4_000; round++) {
    const once = restoreBody(decodeBody(encodeBody(few, space, random), space), space);
    for (const [i, value] of once.entries()) sum[i] = (sum[i] ?? 0) + value;
  }
  const most = few.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  // A step is most / 7; the mean of 4,000 is off by half a step / sqrt(4000), five times that at most.
  const off = (5 * most) / 7 / 2 / Math.sqrt(4_000);
  for (const [i, value] of few.entries()) expect(Math.abs((sum[i] ?? 0) / 4_000 - value)).toBeLessThan(off);
});

test("the largest entries are taken, of equal ones the first, of zeros none", () => {
  expect([...topK(Float32Array.of(1, -3, 2, -2, 0, 2), 3)]).toEqual([1, 2, 3]);
  expect([...topK(Float32Array.of(0, 1e-42, 0, -0), 3)]).toEqual([1]);
  expect([...topK(Float32Array.of(2, 2, 2), 5)]).toEqual([0, 1, 2]);
  const sorted = vector.map(Math.abs).toSorted();
  const least = sorted.at(-500) ?? 0;
  expect(topK(vector, 500)).toEqual(Uint32Array.from(vector.keys()).filter((i) => Math.abs(vector[i] ?? 0) >= least));
});

test("a seeded support follows from base and round, and takes every coordinate as often", () => {
  const hash = "cd".repeat(32);
  expect(seededSupport(1_000, 50, { hash, round: 1 })).toEqual(seededSupport(1_000, 50, { hash, round: 1 }));
  const times = new Uint32Array(100);
  for (let round = 0; round < 2_000; round++) {
    const indices = seededSupport(100, 10, { hash, round });
    expect(new Set(indices).size).toBe(10);
    for (const index of indices) times[index] = (times[index] ?? 0) + 1;
  }
  // 200 each is expected, with a deviation of 13.
  expect(Math.min(...times)).toBeGreaterThan(140);
  expect(Math.max(...times)).toBeLessThan(260);
});

test("what is not finite is not sent", () => {
  for (const header of headers)
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const broken = change(2_000, 1);
      broken[1_234] = bad;
      expect(() => encodeBody(broken, spaceOf(header, 2_000), seededRandom(1))).toThrow(/not finite/);
    }
});
