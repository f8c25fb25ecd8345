import type { DecodedBody } from "../update-body.ts";

/** Settings of the rules; each uses those that it names. */
export type RuleOptions = {
  /** clipped: longest an update counts for, in the model's own units. */
  readonly norm: number;
  /** trimmed: share of the updates that is left out at either end, below 1/2. */
  readonly trim: number;
  /** krum, multi-krum: updates that may be false. */
  readonly attackers: number;
};

/** A rule by which each update counts by itself: it can be forgotten once it is added. */
export type SumRule = {
  readonly memory: "sum";
  /** What the values of an update of this norm are multiplied by. */
  factor(norm: number, options: RuleOptions): number;
};

/** A rule that compares updates: all are kept until the round ends, and all count alike. */
export type SetRule = {
  readonly memory: "updates";
  /** Updates without which it cannot work. */
  least(options: RuleOptions): number;
  /**
   * @param values  of each update, on the same coordinates, in an order that does not depend on that of arrival
   * @returns the values of the change times `divisor`, exact
   */
  combine(
    values: readonly Int32Array[],
    options: RuleOptions,
  ): { readonly sums: Float64Array; readonly divisor: number };
};

export type Rule = SumRule | SetRule;

export type MemberUpdate = { readonly gateway: string; readonly body: DecodedBody };
