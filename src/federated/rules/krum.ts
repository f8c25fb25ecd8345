import type { RuleOptions, SetRule } from "./rule.ts";

/**
 * The one update that lies nearest to its n - attackers - 2 nearest others.
 * @see Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient descent"
 */
export const krum: SetRule = {
  memory: "updates",
  least: ({ attackers }) => 2 * attackers + 3,
  combine: (values, options) => sumOf(values, byScore(values, options).slice(0, 1)),
};

/** The mean of the n - attackers updates that krum would take first. */
export const multiKrum: SetRule = {
  ...krum,
  combine: (values, options) => sumOf(values, byScore(values, options).slice(0, values.length - options.attackers)),
};

/** Numbers of the updates, that with the least distances to its neighbours first; of equal ones the first. */
function byScore(values: readonly Int32Array[], { attackers }: RuleOptions): number[] {
  const count = values.length;
  const distances = values.map(() => new Float64Array(count));
  for (let i = 0; i < count; i++)
    for (let j = i + 1; j < count; j++) {
      const distance = squaredDistance(values[i] as Int32Array, values[j] as Int32Array);
      (distances[i] as Float64Array)[j] = distance;
      (distances[j] as Float64Array)[i] = distance;
    }
  const scores = distances.map((row, own) => {
    const others = row.filter((_, other) => other !== own).sort();
    return others.subarray(0, count - attackers - 2).reduce((sum, each) => sum + each, 0);
  });
  return [...values.keys()].sort((a, b) => (scores[a] as number) - (scores[b] as number) || a - b);
}

function squaredDistance(a: Int32Array, b: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    sum += difference * difference;
  }
  return sum;
}

function sumOf(values: readonly Int32Array[], chosen: readonly number[]): { sums: Float64Array; divisor: number } {
  const sums = new Float64Array(values[0]?.length ?? 0);
  for (const each of chosen) {
    const own = values[each] as Int32Array;
    for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (own[i] as number);
  }
  return { sums, divisor: chosen.length };
}
