import { expect, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { carry, leftOver } from "../../../src/federated/residual.ts";
import { decodeBody, encodeBody, restoreBody } from "../../../src/federated/update-body.ts";
import { change, headers, nameOf, spaceOf } from "./codec-fixture.ts";

// What a receipt does to it: test/property/federated/round-state.test.ts.

test("what was held back is told with the next change", () => {
  const learned = Float32Array.of(1, 0.5, -0.25);
  const carried = carry(learned, Float32Array.of(0.5, 0, 0.25));
  expect([...carried]).toEqual([1.5, 0.5, 0]);
  expect([...leftOver(carried, Float32Array.of(1, 0, 0))]).toEqual([0.5, 0.5, 0]);
  expect([...carry(learned, null)]).toEqual([...learned]);
});

test("a residual of another model is refused", () => {
  expect(() => carry(new Float32Array(4), new Float32Array(3))).toThrow(/residual: expected 4, got 3/);
});

test.each(
  headers.filter(({ support }) => support === "listed" || support === "dense").map((h) => [nameOf(h), h] as const),
)("%s: all that was learned arrives in the end, whatever is rejected on the way", (_, header) => {
  const length = 2_000;
  const space = spaceOf(header, length, 0.1);
  const arrived = new Float64Array(length);
  const all = new Float64Array(length);
  let held: Float32Array | null = null;
  for (let round = 1; round <= 300; round++) {
    const learned = round <= 20 ? change(length, round) : new Float32Array(length);
    const carried: Float32Array = carry(learned, held);
    const told = restoreBody(decodeBody(encodeBody(carried, space, seededRandom(round)), space), space);
    // What a rejected round learned is lost with it: counting it again would count the data twice.
    if (round % 7 === 0) continue;
    held = leftOver(carried, told);
    for (let i = 0; i < length; i++) {
      arrived[i] = (arrived[i] ?? 0) + (told[i] ?? 0);
      all[i] = (all[i] ?? 0) + (learned[i] ?? 0);
    }
  }
  const missing = Math.hypot(...all.map((value, i) => value - (arrived[i] ?? 0)));
  expect(missing / Math.hypot(...all)).toBeLessThan(0.01);
});
