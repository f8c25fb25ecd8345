import { ordered } from "./ordered.ts";
import type { SetRule } from "./rule.ts";

/**
 * The mean of each coordinate without its smallest and its largest values.
 * @see Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical rates"
 */
export const trimmed: SetRule = {
  memory: "updates",
  least: () => 3,
  combine: (values, { trim }) => {
    const cut = Math.min(Math.ceil(trim * values.length), (values.length - 1) >> 1);
    const sums = new Float64Array(values[0]?.length ?? 0);
    for (const [at, sorted] of ordered(values)) {
      let sum = 0;
      for (let i = cut; i < sorted.length - cut; i++) sum += sorted[i] as number;
      sums[at] = sum;
    }
    return { sums, divisor: values.length - 2 * cut };
  },
};
