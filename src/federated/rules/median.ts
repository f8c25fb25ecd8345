import { ordered } from "./ordered.ts";
import type { SetRule } from "./rule.ts";

/**
 * The median of each coordinate; of an even number the mean of the middle two.
 * @see Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates"
 */
export const median: SetRule = {
  memory: "updates",
  least: () => 1,
  combine: (values) => {
    const sums = new Float64Array(values[0]?.length ?? 0);
    const [lower, upper] = [(values.length - 1) >> 1, values.length >> 1];
    for (const [at, sorted] of ordered(values)) sums[at] = (sorted[lower] as number) + (sorted[upper] as number);
    return { sums, divisor: 2 };
  },
};
