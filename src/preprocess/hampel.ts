import type { Column, Slots } from "./slots.ts";

/** Readings that the median is taken of, and the scaled deviations from it that make an outlier. */
export type HampelOptions = { readonly window: number; readonly sigmas: number };

/** Scales the median absolute deviation to the standard deviation of a normal distribution. */
const madToSigma = 1.4826;

/**
 * Hampel's rule over the latest values of each field: an outlier is further from their median than so many scaled
 * median absolute deviations. Values are remembered as they came, so that a lasting step is believed once it has the
 * majority. Where most values are equal the deviation is 0, and nothing is judged: a door that opens is no outlier.
 */
export class Hampel {
  readonly #options: HampelOptions;
  readonly #recent: Column;
  readonly #seen: Column;
  readonly #fields: number;
  readonly #sorted: Float64Array;

  constructor(slots: Slots, fields: number, options: HampelOptions) {
    this.#options = options;
    this.#fields = fields;
    this.#recent = slots.column(fields * options.window);
    this.#seen = slots.column(fields);
    this.#sorted = new Float64Array(options.window);
  }

  /**
   * Remembers a value and judges it.
   * @param field  0 to `fields` - 1
   * @returns the median when the value is an outlier, else NaN
   */
  judge(slot: number, field: number, value: number): number {
    const { window, sigmas } = this.#options;
    const { data } = this.#recent;
    const cell = slot * this.#fields + field;
    const start = cell * window;
    const seen = this.#seen.data[cell] as number;
    data[start + (seen % window)] = value;
    this.#seen.data[cell] = seen + 1;
    if (seen + 1 < window) return Number.NaN;
    const sorted = this.#sorted;
    for (let i = 0; i < window; i++) insert(sorted, i, data[start + i] as number);
    const median = middle(sorted);
    for (let i = 0; i < window; i++) insert(sorted, i, Math.abs((data[start + i] as number) - median));
    const deviation = madToSigma * middle(sorted);
    return deviation > 0 && Math.abs(value - median) > sigmas * deviation ? median : Number.NaN;
  }

  /** Forgets the values of a source. */
  restart(slot: number): void {
    this.#seen.data.fill(0, slot * this.#fields, (slot + 1) * this.#fields);
  }
}

/** Puts a value among the first `count` of `sorted`, which are in order. */
function insert(sorted: Float64Array, count: number, value: number): void {
  let at = count;
  for (; at > 0 && (sorted[at - 1] as number) > value; at--) sorted[at] = sorted[at - 1] as number;
  sorted[at] = value;
}

function middle(sorted: Float64Array): number {
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] as number) + upper) / 2;
}
