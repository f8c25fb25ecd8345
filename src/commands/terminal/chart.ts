const levels = "▁▂▃▄▅▆▇█";

/** Cuts `values` into `width` runs of nearly the same length and reduces each. */
export function buckets<T, R>(values: readonly T[], width: number, reduce: (run: readonly T[]) => R): R[] {
  const count = Math.min(width, values.length);
  return Array.from({ length: count }, (_, i) =>
    reduce(values.slice(Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count))),
  );
}

/** A line chart one character high: the mean of each bucket between the smallest and the largest mean. */
export function sparkline(values: readonly number[], width: number): string {
  const means = buckets(values, width, (run) => run.reduce((sum, value) => sum + value, 0) / run.length);
  const finite = means.filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  return means
    .map((mean) => (Number.isFinite(mean) ? levels[Math.min(7, Math.floor(((mean - low) / span) * 8))] : " "))
    .join("");
}

/** Marks the buckets in which `flags` holds at least once. */
export const markLine = (flags: readonly boolean[], width: number, mark: string, rest = "·"): string =>
  buckets(flags, width, (run) => (run.includes(true) ? mark : rest)).join("");

/** A filled bar with its share: [#####.....] 50 % */
export function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${"█".repeat(filled)}${"░".repeat(width - filled)}] ${Math.round(share * 100)
    .toString()
    .padStart(3)} %`;
}
