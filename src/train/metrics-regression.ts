/** Mean squared error and its root, mean absolute error, and the share of the variance that is explained. */
export type RegressionScore = {
  readonly mse: number;
  readonly rmse: number;
  readonly mae: number;
  /** Mean over the columns. Where the expected values never vary it is 1 when they are met exactly, else 0. */
  readonly r2: number;
};

/** Gathers predictions beside what was expected; memory does not grow with their number. */
export class RegressionMetrics {
  readonly #width: number;
  #count = 0;
  #absolute = 0;
  readonly #squares: Float64Array;
  readonly #mean: Float64Array;
  readonly #deviations: Float64Array;

  /** @param width  numbers in a target */
  constructor(width: number) {
    this.#width = width;
    this.#squares = new Float64Array(width);
    this.#mean = new Float64Array(width);
    this.#deviations = new Float64Array(width);
  }

  /** Takes targets one after the other: [n * width] each. */
  add(predicted: ArrayLike<number>, expected: ArrayLike<number>): void {
    const width = this.#width;
    for (let i = 0; i < expected.length; i++) {
      const column = i % width;
      if (column === 0) this.#count++;
      const value = Number(expected[i]);
      const error = Number(predicted[i]) - value;
      this.#absolute += Math.abs(error);
      this.#squares[column] = (this.#squares[column] as number) + error * error;
      const before = this.#mean[column] as number;
      const mean = before + (value - before) / this.#count;
      this.#mean[column] = mean;
      this.#deviations[column] = (this.#deviations[column] as number) + (value - before) * (value - mean);
    }
  }

  get score(): RegressionScore {
    const count = this.#count * this.#width;
    const mse = this.#squares.reduce((sum, each) => sum + each, 0) / count;
    const explained = this.#squares.map((squares, column) => {
      const total = this.#deviations[column] as number;
      return total > 0 ? 1 - squares / total : squares === 0 ? 1 : 0;
    });
    const r2 = explained.reduce((sum, each) => sum + each, 0) / this.#width;
    return { mse, rmse: Math.sqrt(mse), mae: this.#absolute / count, r2 };
  }
}
