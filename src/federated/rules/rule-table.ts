import { clipped } from "./clipped.ts";
import { krum, multiKrum } from "./krum.ts";
import { mean } from "./mean.ts";
import { median } from "./median.ts";
import type { Rule } from "./rule.ts";
import { trimmed } from "./trimmed.ts";

/** How the updates of a round become one change, by name. */
export const rules = { mean, clipped, median, trimmed, krum, "multi-krum": multiKrum } as const satisfies Record<
  string,
  Rule
>;

export type RuleName = keyof typeof rules;
