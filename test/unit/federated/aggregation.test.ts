import { describe, expect, it, test } from "vitest";
import { seededRandom, shuffle } from "../../../src/base/random.ts";
import { Accumulator } from "../../../src/federated/accumulator.ts";
import { type AggregationPlan, addBy, checkAggregation, combine } from "../../../src/federated/aggregation.ts";
import type { MemberUpdate, SetRule } from "../../../src/federated/rules/rule.ts";
import { rules } from "../../../src/federated/rules/rule-table.ts";
import { stalenessFactor } from "../../../src/federated/strategies/fedbuff.ts";
import { decodeBody, encodeBody } from "../../../src/federated/update-body.ts";
import { updateSpace } from "../../../src/federated/update-space.ts";
import goldens from "../../support/federated/strategies.json" with { type: "json" };
import { change, headers, nameOf, plainDense, spaceOf } from "./codec-fixture.ts";

const options = { norm: 1, trim: 0.25, attackers: 2 };
const unit = updateSpace({ header: { ...plainDense, scale: 1, clip: 2 ** 20 }, length: 7 });
const members: MemberUpdate[] = goldens.updates.map((values, i) => ({
  gateway: `gateway-${i}`,
  body: { indices: null, values: Int32Array.from(values) },
}));

describe.each<[string, SetRule, readonly MemberUpdate[], number[]]>([
  ["median", rules.median, members, goldens.rules.median],
  ["median of an even number", rules.median, members.slice(0, 8), goldens.rules["median of eight"]],
  ["trimmed", rules.trimmed, members, goldens.rules.trimmed],
  ["krum", rules.krum, members, goldens.rules.krum],
  ["multi-krum", rules["multi-krum"], members, goldens.rules["multi-krum"]],
])("%s", (_, rule, updates, expected) => {
  it("gives what NumPy computes", () => {
    const combined = combine(rule, updates, unit, options);
    for (const [i, value] of expected.entries()) expect(combined[i]).toBeCloseTo(value, 2);
  });

  it("gives the same bytes in whatever order updates came", () => {
    const first = combine(rule, updates, unit, options);
    for (let seed = 1; seed < 20; seed++) {
      const mixed = [...updates];
      shuffle(mixed, seededRandom(seed));
      expect(combine(rule, mixed, unit, options)).toEqual(first);
    }
  });

  it("refuses too few updates", () => {
    expect(() => combine(rule, updates.slice(0, 0), unit, options)).toThrow(/too few/);
  });
});

test("krum of equal updates does not depend on their order", () => {
  const same = members.map((member, i) => ({ ...member, body: members[i % 2]?.body ?? member.body }));
  expect(combine(rules.krum, same.toReversed(), unit, options)).toEqual(combine(rules.krum, same, unit, options));
});

test("a norm that is too long is shortened, whatever the support", () => {
  for (const header of headers) {
    const space = spaceOf(header, 5_000);
    const sum = new Accumulator(5_000);
    const body = decodeBody(encodeBody(change(5_000, 1), space, seededRandom(1)), space);
    addBy(rules.clipped, sum, { body, weight: 1 }, space, { ...options, norm: 0.01 });
    expect(Math.hypot(...sum.mean(header.scale)), nameOf(header)).toBeLessThan(0.0101);
  }
});

test("staleness makes the step shorter, not only the share in it", () => {
  const sum = new Accumulator(7);
  for (const [member, staleness] of [
    [0, 0],
    [1, 1],
    [3, 4],
  ] as const) {
    const factor = stalenessFactor(staleness, 4) ?? 0;
    const body = members[member]?.body ?? { indices: null, values: new Int32Array(7) };
    addBy(rules.mean, sum, { body, weight: 1, factor }, unit, options);
  }
  const mean = sum.mean(1);
  // Each of three is rounded to a whole: off by 0.5 at most.
  for (const [i, expected] of goldens.buffered.entries())
    expect(Math.abs((mean[i] ?? 0) - expected)).toBeLessThan(0.51);
});

const plan: AggregationPlan = {
  ...{ strategy: "fedavg", rule: "mean", options, quorum: 10, mu: 0 },
  header: { support: "listed", weight: "power-of-two" },
};
const common = { support: "dense", weight: "uniform" } as const;

test.each<[string, Partial<AggregationPlan>]>([
  ["the mean of any updates", {}],
  ["clipped means of any updates", { rule: "clipped" }],
  ["buffered updates", { strategy: "fedbuff", rule: "clipped" }],
  ["held gateways", { strategy: "fedprox", mu: 0.01 }],
  ["a median of dense updates", { rule: "median", header: common }],
  ["krum of a seeded support", { rule: "krum", header: { ...common, support: "seeded" } }],
  ["a trimmed mean of a chosen support", { rule: "trimmed", header: { ...common, support: "explicit" } }],
])("takes %s", (_, fields) => {
  expect(() => checkAggregation({ ...plan, ...fields })).not.toThrow();
});

test.each<[string, Partial<AggregationPlan>, RegExp]>([
  ["a median over coordinates that differ", { rule: "median" }, /own coordinates.*dense, seeded or explicit/],
  ["krum over coordinates that differ", { rule: "krum" }, /own coordinates/],
  ["a median of weighted updates", { rule: "median", header: { ...common, weight: "power-of-two" } }, /uniform/],
  ["krum with too small a quorum", { rule: "krum", header: common, quorum: 6 }, /needs 7 updates/],
  ["a median over many bases", { strategy: "fedbuff", rule: "median", header: common }, /one base/],
  ["FedProx that holds nothing", { strategy: "fedprox" }, /mu is 0/],
  ["a clip at nothing", { rule: "clipped", options: { ...options, norm: 0 } }, /norm/],
  ["a trim of all", { rule: "trimmed", header: common, options: { ...options, trim: 0.5 } }, /trim/],
  ["a part of an attacker", { rule: "krum", header: common, options: { ...options, attackers: 1.5 } }, /attackers/],
])("refuses %s", (_, fields, reason) => {
  expect(() => checkAggregation({ ...plan, ...fields })).toThrow(reason);
});
