import { seededRandom } from "../base/random.ts";

/** A mean with its confidence interval. */
export type Interval = { readonly mean: number; readonly low: number; readonly high: number };

/**
 * Confidence interval of a mean over values that come in blocks: whole blocks are drawn anew, since neighbours in time
 * say nearly the same (block bootstrap, percentiles).
 *
 * @param blocks  block of each value
 * @see Künsch 1989, "The jackknife and the bootstrap for general stationary observations"
 */
export function blockBootstrap(
  values: ArrayLike<number>,
  blocks: ArrayLike<number>,
  { seed, resamples = 1_000, confidence = 0.95 }: { seed: number; resamples?: number; confidence?: number },
): Interval {
  const sums = new Map<number, { sum: number; count: number }>();
  for (let i = 0; i < values.length; i++) {
    const block = sums.get(blocks[i] as number) ?? { sum: 0, count: 0 };
    block.sum += values[i] as number;
    block.count++;
    sums.set(blocks[i] as number, block);
  }
  const all = [...sums.values()];
  const random = seededRandom(seed);
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    let count = 0;
    for (let i = 0; i < all.length; i++) {
      const drawn = all[Math.floor(random() * all.length)];
      sum += drawn?.sum ?? 0;
      count += drawn?.count ?? 0;
    }
    return sum / count;
  }).sort();
  const tail = (1 - confidence) / 2;
  const at = (share: number): number => means[Math.min(resamples - 1, Math.floor(share * resamples))] ?? Number.NaN;
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return { mean: total / values.length, low: at(tail), high: at(1 - tail) };
}
