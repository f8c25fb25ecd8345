import { describe, expect, it, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { answered, carry, noResidual, type Residual, sent } from "../../../src/federated/residual.ts";
import { decodeBody, encodeBody, restoreBody } from "../../../src/federated/update-body.ts";
import { change, headers, nameOf, spaceOf } from "./codec-fixture.ts";

const told = Float32Array.of(1, 0, 0);
const learned = Float32Array.of(1, 0.5, -0.25);
const before: Residual = { lineage: "a", held: Float32Array.of(0.5, 0, 0.25), sent: null };
const carried = carry(before, "a", learned);
const waiting = sent(before, "a", { round: 4, carried, told });

test("what was held back is told with the next change", () => {
  expect([...carried]).toEqual([1.5, 0.5, 0]);
  expect([...carry(noResidual("a", 3), "a", learned)]).toEqual([...learned]);
});

describe.each([
  ["accepted", [0.5, 0.5, 0]],
  ["duplicate", [0.5, 0.5, 0]],
  ["stale", [0.5, 0, 0.25]],
  ["rejected", [0.5, 0, 0.25]],
] as const)("a receipt that says %s", (status, held) => {
  it("settles what is held back", () => {
    expect(answered(waiting, { round: 4, status })).toEqual({
      lineage: "a",
      held: Float32Array.from(held),
      sent: null,
    });
  });

  it("settles it once", () => {
    const once = answered(waiting, { round: 4, status });
    expect(answered(once, { round: 4, status: "accepted" })).toBe(once);
    expect(answered(once, { round: 4, status: "rejected" })).toBe(once);
  });

  it("of another round changes nothing", () => {
    expect(answered(waiting, { round: 3, status })).toBe(waiting);
  });
});

test("a receipt for some of the parts leaves it open", () => {
  expect(answered(waiting, { round: 4, status: "partial" })).toBe(waiting);
});

test("without a receipt nothing is told twice", () => {
  expect([...carry(waiting, "a", new Float32Array(3))]).toEqual([0.5, 0.5, 0]);
  const next = sent(waiting, "a", { round: 5, carried: carry(waiting, "a", learned), told });
  expect([...answered(next, { round: 5, status: "rejected" }).held]).toEqual([0.5, 0.5, 0]);
});

test("on another lineage what was held back is dropped", () => {
  expect([...carry(before, "b", learned)]).toEqual([...learned]);
  expect([...carry(waiting, "b", learned)]).toEqual([...learned]);
  const moved = sent(before, "b", { round: 9, carried: learned, told });
  expect(answered(moved, { round: 9, status: "stale" })).toEqual(noResidual("b", 3));
});

test("a residual of another model is refused", () => {
  expect(() => carry(before, "a", new Float32Array(4))).toThrow(/residual: expected 4, got 3/);
});

test.each(
  headers.filter(({ support }) => support === "listed" || support === "dense").map((h) => [nameOf(h), h] as const),
)("%s: all that was learned arrives in the end, whatever is rejected on the way", (_, header) => {
  const length = 2_000;
  const space = spaceOf(header, length, 0.1);
  const arrived = new Float64Array(length);
  const all = new Float64Array(length);
  let residual = noResidual("a", length);
  for (let round = 1; round <= 300; round++) {
    const learned = round <= 20 ? change(length, round) : new Float32Array(length);
    const carried = carry(residual, "a", learned);
    const body = decodeBody(encodeBody(carried, space, seededRandom(round)), space);
    const told = restoreBody(body, space);
    residual = sent(residual, "a", { round, carried, told });
    const isTaken = round % 7 !== 0;
    residual = answered(residual, { round, status: isTaken ? "accepted" : "stale" });
    // What a rejected round learned is lost with it: counting it again would count the data twice.
    if (!isTaken) continue;
    for (let i = 0; i < length; i++) {
      arrived[i] = (arrived[i] ?? 0) + (told[i] ?? 0);
      all[i] = (all[i] ?? 0) + (learned[i] ?? 0);
    }
  }
  const missing = Math.hypot(...all.map((value, i) => value - (arrived[i] ?? 0)));
  expect(missing / Math.hypot(...all)).toBeLessThan(0.01);
});
