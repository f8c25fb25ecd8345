import { fedavg } from "./fedavg.ts";
import type { Strategy } from "./strategy.ts";

/**
 * Asynchronous: w += (eta / K) sum s(tau_i) change_i over K updates, whenever K have come. The mean is over K, not over
 * the sum of s: stale updates make the step shorter. Whoever sums them takes `stalenessFactor` for the factor.
 * @see Nguyen et al. 2022, "Federated learning with buffered asynchronous aggregation"
 */
export const fedbuff: Strategy = { ...fedavg, isAsynchronous: true };

/**
 * What an update counts that is so many rounds old: 1 / sqrt(1 + tau). Null: too old, it is dropped.
 * @param staleness  tau: versions between its base and now
 */
export const stalenessFactor = (staleness: number, maxStaleness: number): number | null =>
  staleness > maxStaleness ? null : 1 / Math.sqrt(1 + staleness);
