/** What is done about bad values. `StreamConfig["clean"]` fits. */
export type CleanOptions = {
  readonly range: Readonly<Record<string, readonly [number, number]>>;
  readonly missing: "drop" | "hold" | "linear";
  /** Longest gap that is held or drawn over, ms. */
  readonly missingLimit: number;
  readonly duplicates: "keep" | "drop";
  readonly outliers: "none" | "drop" | "hold";
  readonly hampel: { readonly window: number; readonly sigmas: number };
};

/** What is remembered of one source: plain data, so that a snapshot can hold it. */
export type CleanState = {
  lastTs: number;
  last: Float64Array;
  /** Last good value of each field, and its time. */
  held: Float64Array;
  heldTs: Float64Array;
  /** Recent values of each field for Hampel's rule, oldest first; what has not come is NaN. */
  recent: Float64Array[];
};

export type CleanCounters = { range: number; outlier: number; duplicate: number; held: number };

/** Scales the median absolute deviation to the standard deviation of a normal distribution. */
const madToSigma = 1.4826;

/** Range, duplicates, outliers and held values, field by field. Missing values are NaN before and after. */
export class Cleaner {
  readonly #options: CleanOptions;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #scratch: Float64Array;
  /** With nothing asked for but what costs nothing, readings pass untouched. */
  readonly isIdle: boolean;

  constructor(fields: readonly string[], options: CleanOptions) {
    this.#options = options;
    this.#low = Float64Array.from(fields, (name) => options.range[name]?.[0] ?? Number.NEGATIVE_INFINITY);
    this.#high = Float64Array.from(fields, (name) => options.range[name]?.[1] ?? Number.POSITIVE_INFINITY);
    this.#scratch = new Float64Array(options.hampel.window);
    this.isIdle =
      Object.keys(options.range).length === 0 &&
      options.missing === "drop" &&
      options.duplicates === "keep" &&
      options.outliers === "none";
  }

  create(width: number): CleanState {
    const { outliers, hampel } = this.#options;
    const rings = outliers === "none" ? 0 : width;
    return {
      lastTs: Number.NaN,
      last: new Float64Array(width).fill(Number.NaN),
      held: new Float64Array(width).fill(Number.NaN),
      heldTs: new Float64Array(width).fill(Number.NEGATIVE_INFINITY),
      recent: Array.from({ length: rings }, () => new Float64Array(hampel.window).fill(Number.NaN)),
    };
  }

  /**
   * Cleans `row` in place.
   * @returns false when the reading is a duplicate and goes no further
   */
  apply(state: CleanState, ts: number, row: Float64Array, counters: CleanCounters): boolean {
    const { duplicates, outliers, missing, missingLimit } = this.#options;
    if (duplicates === "drop" && ts === state.lastTs && row.every((value, i) => Object.is(value, state.last[i]))) {
      counters.duplicate++;
      return false;
    }
    state.lastTs = ts;
    state.last.set(row);
    for (let i = 0; i < row.length; i++) {
      let value = row[i] as number;
      if (value < (this.#low[i] as number) || value > (this.#high[i] as number)) {
        counters.range++;
        value = Number.NaN;
      }
      if (outliers !== "none" && !Number.isNaN(value)) {
        const median = this.#outlierMedian(state.recent[i] as Float64Array, value);
        if (!Number.isNaN(median)) {
          counters.outlier++;
          value = outliers === "hold" ? median : Number.NaN;
        }
      }
      if (!Number.isNaN(value)) {
        state.held[i] = value;
        state.heldTs[i] = ts;
      } else if (missing === "hold" && ts - (state.heldTs[i] as number) <= missingLimit) {
        counters.held++;
        value = state.held[i] as number;
      }
      row[i] = value;
    }
    return true;
  }

  /** The median when `value` is an outlier among the recent ones and itself; else NaN. The value is remembered as it is. */
  #outlierMedian(recent: Float64Array, value: number): number {
    recent.copyWithin(0, 1);
    recent[recent.length - 1] = value;
    if (Number.isNaN(recent[0])) return Number.NaN;
    const scratch = this.#scratch;
    scratch.set(recent);
    const median = middle(scratch.sort());
    for (let i = 0; i < scratch.length; i++) scratch[i] = Math.abs((recent[i] as number) - median);
    const deviation = madToSigma * middle(scratch.sort());
    const limit = this.#options.hampel.sigmas * deviation;
    return Math.abs(value - median) > limit && deviation > 0 ? median : Number.NaN;
  }
}

const middle = (sorted: Float64Array): number => {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[half] as number)
    : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
};
