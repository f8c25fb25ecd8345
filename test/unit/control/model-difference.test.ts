import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { decodeDifference, encodeDifference } from "../../../src/control/model-difference.ts";

const weights = (count: number, seed: number) => {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => random() - 0.5);
};
const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer.slice(0));

describe("the difference of two model files", () => {
  it("makes the new one of the old one, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (from, to) => {
        expect(decodeDifference(from, encodeDifference(from, to), to.length)).toEqual(to);
      }),
    );
  });

  it("is small where few weights have changed: a fiftieth changed costs less than a tenth of the file", () => {
    const old = weights(50_000, 1);
    const changed = old.map((value, at) => (at % 50 === 0 ? value * 1.01 : value));
    const difference = encodeDifference(bytesOf(old), bytesOf(changed));
    expect(difference.length).toBeLessThan((4 * 50_000) / 10);
  });

  it("is refused when it is cut, another, or claims another size; and never grows beyond what was signed", () => {
    const old = bytesOf(weights(1_000, 1));
    const next = bytesOf(weights(1_000, 2));
    const difference = encodeDifference(old, next);
    expect(() => decodeDifference(old, difference.subarray(0, 100), next.length)).toThrow(/damaged/);
    expect(() => decodeDifference(old, new Uint8Array(50), next.length)).toThrow(/damaged/);
    expect(() => decodeDifference(old, difference, next.length + 1)).toThrow(/damaged/);
    const bomb = encodeDifference(new Uint8Array(0), new Uint8Array(10_000_000));
    expect(() => decodeDifference(old, bomb, 4_000)).toThrow(/damaged/);
  });
});
