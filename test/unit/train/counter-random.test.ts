import { expect, test } from "vitest";
import { threefry, uniformAt } from "../../../src/base/counter-random.ts";

test.each([
  // The known answers of the authors' Random123.
  [0, 0, 0, 0, 0x6b200159, 0x99ba4efe],
  [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7],
  [0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3, 0xc4923a9c, 0x483df7a0],
])("key %i %i at place %i %i gives the published words", (key0, key1, place0, place1, first, second) => {
  const words = new Uint32Array(2);
  threefry(key0, key1, place0, place1, words);
  expect([...words]).toEqual([first, second]);
});

test("numbers are uniform in [0, 1) and differ from step to step", () => {
  const one = new Float32Array(10_001);
  const other = new Float32Array(10_001);
  uniformAt(1, 1, one);
  uniformAt(1, 2, other);
  expect(one).not.toEqual(other);
  for (const values of [one, other]) {
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(0.5, 1);
    expect(new Set(values).size).toBeGreaterThan(9_900);
  }
  const short = new Float32Array(11);
  uniformAt(1, 1, short);
  expect(short).toEqual(one.subarray(0, 11));
});
