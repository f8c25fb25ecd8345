/** Fewest scores of windows that do not overlap from which a quantile may be taken. */
export const neededFor = (alpha: number): number => Math.ceil(10 / alpha - 1e-9);

/**
 * Conformal quantile: the score that a further window of the same kind stays under with probability 1 - alpha or more,
 * if windows are exchangeable. Needs at least 10 / alpha scores of windows that do not overlap.
 *
 * @throws RangeError when there are fewer
 * @see Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World"
 */
export function conformalQuantile(scores: ArrayLike<number>, alpha: number): number {
  if (scores.length < neededFor(alpha)) throw new RangeError(`${scores.length} scores are too few for alpha ${alpha}`);
  const sorted = Float64Array.from(scores).sort();
  return sorted[Math.ceil((scores.length + 1) * (1 - alpha)) - 1] ?? Number.NaN;
}
