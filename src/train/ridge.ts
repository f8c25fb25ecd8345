import { TidegateError } from "../base/errors.ts";

/** A linear model: `intercepts[k] + sum over i of x[i] * weights[k][i]` for each output k. */
export type LinearModel = {
  readonly weights: readonly Float64Array[];
  readonly intercepts: Float64Array;
};

/**
 * Fits a linear model by least squares with a penalty on the weights, not on the intercepts (ridge).
 *
 * @param x  [n * width], one example after the other
 * @param y  [n * outputs]
 * @param penalty  added to the diagonal of the normal equations, in squared units of x; above 0
 * @throws TidegateError DATA_UNUSABLE when x is not finite, or the penalty too small for columns that are alike
 * @see Hoerl and Kennard 1970, "Ridge Regression"
 */
export function fitRidge(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  { width, outputs, penalty }: { width: number; outputs: number; penalty: number },
): LinearModel {
  const n = x.length / width;
  const meanX = columnMeans(x, width);
  const meanY = columnMeans(y, outputs);
  const normal = new Float64Array(width * width);
  const right = Array.from({ length: outputs }, () => new Float64Array(width));
  const row = new Float64Array(width);
  for (let e = 0; e < n; e++) {
    for (let i = 0; i < width; i++) row[i] = (x[e * width + i] as number) - (meanX[i] as number);
    for (let i = 0; i < width; i++) {
      const factor = row[i] as number;
      if (factor === 0) continue;
      for (let j = 0; j <= i; j++)
        normal[i * width + j] = (normal[i * width + j] as number) + factor * (row[j] as number);
      for (let k = 0; k < outputs; k++) {
        const column = right[k] as Float64Array;
        column[i] = (column[i] as number) + factor * ((y[e * outputs + k] as number) - (meanY[k] as number));
      }
    }
  }
  for (let i = 0; i < width; i++) normal[i * width + i] = (normal[i * width + i] as number) + penalty;
  factorize(normal, width);
  for (const column of right) solve(normal, width, column);
  const intercepts = Float64Array.from(right, (weights, k) =>
    weights.reduce((rest, weight, i) => rest - weight * (meanX[i] as number), meanY[k] as number),
  );
  return { weights: right, intercepts };
}

/** What a linear model gives for each example, [n * outputs]. */
export function predictLinear({ weights, intercepts }: LinearModel, x: ArrayLike<number>): Float64Array {
  const outputs = weights.length;
  const width = weights[0]?.length ?? 1;
  return Float64Array.from({ length: (x.length / width) * outputs }, (_, at) => {
    const k = at % outputs;
    const from = ((at - k) / outputs) * width;
    const own = weights[k] as Float64Array;
    let sum = intercepts[k] as number;
    for (let i = 0; i < width; i++) sum += (x[from + i] as number) * (own[i] as number);
    return sum;
  });
}

function columnMeans(values: ArrayLike<number>, width: number): Float64Array {
  const sums = new Float64Array(width);
  for (let i = 0; i < values.length; i++) sums[i % width] = (sums[i % width] as number) + (values[i] as number);
  return sums.map((sum) => (sum * width) / values.length);
}

/** Cholesky: the lower half becomes L with L Lt the matrix, in place. */
function factorize(a: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j] as number;
      for (let k = 0; k < j; k++) sum -= (a[i * n + k] as number) * (a[j * n + k] as number);
      if (i !== j) a[i * n + j] = sum / (a[j * n + j] as number);
      else if (sum > 0) a[i * n + i] = Math.sqrt(sum);
      else
        throw new TidegateError("DATA_UNUSABLE", {
          what: "the data",
          reason: "a linear model has no single solution on it",
          remedy: "Raise the penalty, or leave out columns that say the same.",
        });
    }
  }
}

function solve(l: Float64Array, n: number, b: Float64Array): void {
  for (let i = 0; i < n; i++) {
    let sum = b[i] as number;
    for (let k = 0; k < i; k++) sum -= (l[i * n + k] as number) * (b[k] as number);
    b[i] = sum / (l[i * n + i] as number);
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i] as number;
    for (let k = i + 1; k < n; k++) sum -= (l[k * n + i] as number) * (b[k] as number);
    b[i] = sum / (l[i * n + i] as number);
  }
}
