import { TidegateError } from "../base/errors.ts";
import { largest } from "./window.ts";

/** `model` and `none` pass through: the card's model scales by itself, or nothing does. */
export type Normalization = "model" | "zscore" | "minmax" | "none";

/** Running statistics of a stream's window columns, over all its sources; arrays are as long as the window is wide. */
export type Statistics = {
  readonly count: number;
  readonly mean: readonly number[];
  /** Of the population. */
  readonly std: readonly number[];
  readonly min: readonly number[];
  readonly max: readonly number[];
};

/** Rows after which statistics freeze by themselves: a scale that drifts with the data hides the drift from the model. */
export const freezeAfter = 10_000;

const rows = { mean: 0, squares: 1, min: 2, max: 3 } as const;

/** Scales windows to zero mean and unit deviation, or to 0…1, by statistics that run until they are frozen. */
export class Normalizer {
  readonly isScaling: boolean;
  /** Of each column: a window's value becomes `(value - origin) * factor`. Brought up to date by `refresh`. */
  readonly origins: Float64Array;
  readonly factors: Float64Array;
  /** Count and whether frozen, then mean, sum of squared deviations, min and max of each column: all that a snapshot needs. */
  readonly state: Float64Array;
  readonly #width: number;
  readonly #kind: Normalization;
  #isStale = true;

  /**
   * @param given  statistics to scale by, frozen: those that a model was trained with
   * @throws TidegateError PREPROCESS_INVALID when they are of another width
   */
  constructor(kind: Normalization, width: number, given?: Statistics) {
    this.#kind = kind;
    this.#width = width;
    this.isScaling = kind === "zscore" || kind === "minmax";
    this.origins = new Float64Array(width);
    this.factors = new Float64Array(width).fill(1);
    this.state = new Float64Array(2 + 4 * width);
    this.#fill(rows.min, Number.POSITIVE_INFINITY);
    this.#fill(rows.max, Number.NEGATIVE_INFINITY);
    if (given) this.#adopt(given);
  }

  /** Keeps the statistics as they are from now on. */
  freeze(): void {
    this.state[1] = 1;
  }

  get isFrozen(): boolean {
    return this.state[1] === 1;
  }

  get statistics(): Statistics {
    const count = this.state[0] as number;
    const row = (at: number): number[] => [...this.state.subarray(2 + at * this.#width, 2 + (at + 1) * this.#width)];
    const std = row(rows.squares).map((squares) => (count > 0 ? Math.sqrt(squares / count) : 0));
    return { count, mean: row(rows.mean), std, min: row(rows.min), max: row(rows.max) };
  }

  /** Takes a row into the statistics (Welford), unless they are frozen. @param columns  its entries, in the window's order */
  observe(row: Float64Array, columns: Int32Array): void {
    const { state } = this;
    if (!this.isScaling || state[1] === 1) return;
    const width = this.#width;
    const count = (state[0] as number) + 1;
    state[0] = count;
    if (count >= freezeAfter) state[1] = 1;
    for (let i = 0; i < width; i++) {
      const value = row[columns[i] as number] as number;
      const at = 2 + i;
      const before = state[at] as number;
      const mean = before + (value - before) / count;
      state[at] = mean;
      state[at + width] = (state[at + width] as number) + (value - before) * (value - mean);
      if (value < (state[at + 2 * width] as number)) state[at + 2 * width] = value;
      if (value > (state[at + 3 * width] as number)) state[at + 3 * width] = value;
    }
    this.#isStale = true;
  }

  /** Brings `origins` and `factors` up to date with the statistics. A column that has never varied becomes 0. */
  refresh(): void {
    if (!this.#isStale || !this.isScaling) return;
    this.#isStale = false;
    const { state, origins, factors } = this;
    const width = this.#width;
    const isScore = this.#kind === "zscore";
    for (let i = 0; i < width; i++) {
      const at = 2 + i;
      const origin = (isScore ? state[at] : state[at + 2 * width]) as number;
      const spread = isScore
        ? Math.sqrt((state[at + width] as number) / (state[0] as number))
        : (state[at + 3 * width] as number) - origin;
      origins[i] = origin;
      // Below the smallest normal number the inverse is infinite.
      factors[i] = spread > 2.3e-308 ? 1 / spread : 0;
    }
  }

  /** Writes a row as a window holds it. @param columns  its entries, in the window's order */
  scale(row: Float64Array, columns: Int32Array, into: Float32Array): void {
    for (let i = 0; i < columns.length; i++) {
      const value = ((row[columns[i] as number] as number) - (this.origins[i] as number)) * (this.factors[i] as number);
      into[i] = Math.max(-largest, Math.min(largest, value));
    }
  }

  /** Takes statistics as `state` held them in a snapshot. */
  restore(state: Float64Array): void {
    this.state.set(state);
    this.#isStale = true;
  }

  #adopt({ count, mean, std, min, max }: Statistics): void {
    const given = [mean, std.map((value) => value * value * count), min, max];
    for (const [at, values] of given.entries()) {
      if (values.length !== this.#width || !(count > 0))
        throw new TidegateError("PREPROCESS_INVALID", {
          what: "statistics",
          reason: `${count} readings of ${values.length} columns, for windows of ${this.#width}`,
        });
      this.state.set(values, 2 + at * this.#width);
    }
    this.state[0] = count;
    this.state[1] = 1;
  }

  #fill(row: number, value: number): void {
    this.state.fill(value, 2 + row * this.#width, 2 + (row + 1) * this.#width);
  }
}
