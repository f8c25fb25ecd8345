import { expect, test } from "vitest";
import { type CodecHeader, weightOf } from "../../../src/federated/codec-header.ts";
import { renderSupport, supportHash, updateSpace } from "../../../src/federated/update-space.ts";
import { headers, plainDense, spaceOf } from "./codec-fixture.ts";

test("every codec goes with every support", () => {
  for (const header of headers) expect(() => spaceOf(header, 1_000)).not.toThrow();
});

test.each<[string, Partial<CodecHeader>, RegExp]>([
  ["an unknown codec", { codec: "wavelet" }, /codec: wavelet is not known; there are plain, quantized, sign/],
  ["bits of another codec", { bits: 8 }, /bits: plain has 32/],
  ["a part of dense support", { keep: 50 }, /keep: 50 of 100/],
  ["more coordinates than there are", { support: "listed", keep: 101 }, /keep: 101 of 100/],
  ["integers too large to be summed", { clip: 1e6 }, /clip: times scale/],
  ["integers too small to say anything", { scale: 2 ** -20 }, /clip: times scale/],
  ["a scale that floats cannot divide by exactly", { scale: 1e7 }, /scale/],
  ["secure aggregation, which is not there yet", { modulus: 2 ** 32 }, /modulus/],
  ["noise, which is not there yet", { noise: 1 }, /noise/],
  ["a seeded support without a base", { support: "seeded", keep: 10 }, /support/],
  ["an explicit support that nobody gave", { support: "explicit", keep: 10, indices: "00".repeat(32) }, /indices/],
])("refuses %s", (_, fields, reason) => {
  expect(() => updateSpace({ header: { ...plainDense, ...fields }, length: 100 })).toThrow(reason);
});

test.each([
  ["does not ascend", [3, 3, 5], /do not ascend/],
  ["lies outside of the model", [3, 4, 100], /do not ascend within the model/],
  ["has another size than the round says", [3, 4], /2 for the 3/],
])("refuses a chosen support that %s", (_, indices, reason) => {
  const chosen = renderSupport(Uint32Array.from(indices));
  const header = { ...plainDense, support: "explicit", keep: 3, indices: supportHash(chosen) } as const;
  expect(() => updateSpace({ header, length: 100, chosen })).toThrow(reason);
});

test("a weight is a power of two, within the round's", () => {
  const round = { weight: "power-of-two", maxWeight: 1_024 } as const;
  expect([0, 1, 600, 1_023, 1_024, 1e9].map((examples) => weightOf(examples, round))).toEqual([
    1, 1, 512, 512, 1_024, 1_024,
  ]);
  expect(weightOf(600, { weight: "uniform", maxWeight: 1_024 })).toBe(1);
});
