import type { SumRule } from "./rule.ts";

/**
 * The mean of updates shortened to `norm`: nobody moves the model further than that, whatever its support or its data.
 * @see Sun et al. 2019, "Can you really backdoor federated learning?"
 */
export const clipped: SumRule = { memory: "sum", factor: (length, { norm }) => Math.min(1, norm / length) };
