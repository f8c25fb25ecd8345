/** Running statistics of a stream's window columns, over all its sources. */
export type Statistics = {
  count: number;
  mean: Float64Array;
  /** Sums of squared deviations from the mean. */
  squares: Float64Array;
  min: Float64Array;
  max: Float64Array;
};

/** Readings after which statistics are frozen: a scale that drifts with the data hides the drift from the model. */
export const freezeAfter = 10_000;

export const createStatistics = (width: number): Statistics => ({
  count: 0,
  mean: new Float64Array(width),
  squares: new Float64Array(width),
  min: new Float64Array(width).fill(Number.POSITIVE_INFINITY),
  max: new Float64Array(width).fill(Number.NEGATIVE_INFINITY),
});

/** Takes a complete reading into the statistics (Welford), unless they are frozen. */
export function observe(statistics: Statistics, row: Float64Array): void {
  if (statistics.count >= freezeAfter) return;
  const count = ++statistics.count;
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    const delta = value - (statistics.mean[i] as number);
    statistics.mean[i] = (statistics.mean[i] as number) + delta / count;
    statistics.squares[i] = (statistics.squares[i] as number) + delta * (value - (statistics.mean[i] as number));
    statistics.min[i] = Math.min(statistics.min[i] as number, value);
    statistics.max[i] = Math.max(statistics.max[i] as number, value);
  }
}

/**
 * Scales a window in place: to zero mean and unit deviation, or to 0…1.
 * A column that has never varied becomes 0.
 * @param window  rows of `width` values
 */
export function normalize(
  window: Float32Array,
  width: number,
  kind: "zscore" | "minmax",
  statistics: Statistics,
): void {
  for (let i = 0; i < width; i++) {
    const isScore = kind === "zscore";
    const origin = (isScore ? statistics.mean[i] : statistics.min[i]) as number;
    const spread = isScore
      ? Math.sqrt((statistics.squares[i] as number) / statistics.count)
      : (statistics.max[i] as number) - origin;
    for (let at = i; at < window.length; at += width)
      window[at] = spread > 0 ? ((window[at] as number) - origin) / spread : 0;
  }
}
