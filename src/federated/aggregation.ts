import { TidegateError } from "../base/errors.ts";
import type { Accumulator } from "./accumulator.ts";
import type { CodecHeader } from "./codec-header.ts";
import type { MemberUpdate, Rule, RuleOptions, SetRule } from "./rules/rule.ts";
import { type RuleName, rules } from "./rules/rule-table.ts";
import { type StrategyName, strategies } from "./strategies/strategy-table.ts";
import { normOf } from "./update-body.ts";
import { hasCommonSupport, type UpdateSpace } from "./update-space.ts";

export type AggregationPlan = {
  readonly strategy: StrategyName;
  readonly rule: RuleName;
  readonly options: RuleOptions;
  readonly header: Pick<CodecHeader, "support" | "weight">;
  /** Updates with which a round may end. */
  readonly quorum: number;
  /** FedProx: what the round tells its gateways. */
  readonly mu: number;
};

/**
 * Refuses what does not go together before a round is opened.
 * @throws TidegateError AGGREGATION_REFUSED with the reason
 */
export function checkAggregation({ strategy, rule, options, header, quorum, mu }: AggregationPlan): void {
  const { isAsynchronous, needsMu } = { isAsynchronous: false, needsMu: false, ...strategies[strategy] };
  const each: Rule = rules[rule];
  const refuse = (reason: string) => {
    throw new TidegateError("AGGREGATION_REFUSED", { strategy, rule, reason });
  };
  if (needsMu && !(mu > 0)) refuse("mu is 0, so that nothing holds gateways to the base");
  if (rule === "clipped" && !(options.norm > 0)) refuse("norm must be above 0");
  if (rule === "trimmed" && !(options.trim > 0 && options.trim < 0.5)) refuse("trim must lie between 0 and 0.5");
  if (!(Number.isInteger(options.attackers) && options.attackers >= 0)) refuse("attackers must be a whole number");
  if (each.memory === "sum") return;
  if (!hasCommonSupport(header))
    refuse(
      "each gateway chooses its own coordinates, and most values would be compared with none: take dense, seeded or explicit support",
    );
  if (header.weight !== "uniform") refuse("it counts every update alike: take uniform weights");
  if (isAsynchronous) refuse("it compares updates of one base, and these are of many");
  if (quorum < each.least(options))
    refuse(`it needs ${each.least(options)} updates, and a round may end with ${quorum}`);
}

/**
 * The change that a rule makes of updates that it has to compare, float32 [space.length]. Whatever order they are in,
 * the bytes are the same.
 * @throws TidegateError UPDATE_INVALID when there are too few, or they have not the same coordinates
 */
export function combine(
  rule: SetRule,
  updates: readonly MemberUpdate[],
  space: UpdateSpace,
  options: RuleOptions,
): Float32Array {
  const sorted = updates.toSorted((a, b) => (a.gateway < b.gateway ? -1 : 1));
  const [first] = sorted;
  if (!first || sorted.length < rule.least(options))
    throw new TidegateError("UPDATE_INVALID", { reason: `${sorted.length} are too few for the rule` });
  if (!hasCommonSupport(space.header))
    throw new TidegateError("UPDATE_INVALID", { reason: "updates have not the same coordinates" });
  const { sums, divisor } = rule.combine(
    sorted.map(({ body }) => body.values),
    options,
  );
  const change = new Float32Array(space.length);
  const { indices } = first.body;
  for (let i = 0; i < sums.length; i++)
    change[indices?.[i] ?? i] = (sums[i] as number) / (divisor * space.header.scale);
  return change;
}

/** Adds an update by a rule that needs no other; `factor` is what its staleness makes of it. */
export function addBy(
  rule: Extract<Rule, { memory: "sum" }>,
  to: Accumulator,
  {
    body,
    weight,
    factor = 1,
  }: { readonly body: MemberUpdate["body"]; readonly weight: number; readonly factor?: number },
  space: UpdateSpace,
  options: RuleOptions,
): void {
  to.add(body, weight, factor * rule.factor(normOf(body, space), options));
}
