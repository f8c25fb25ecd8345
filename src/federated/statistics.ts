import { TidegateError } from "../base/errors.ts";

/** What is known of one number over many windows, its values brought to [0, 1] by the round's bounds. */
export type Moments = {
  readonly count: number;
  /** Sum of the values times `momentScale`: an integer. */
  readonly sum: number;
  /** Sum of their squares times `momentScale`: an integer. */
  readonly squares: number;
};

/** Sums are integers on this scale, so that the order in which gateways answer does not change them. */
export const momentScale = 2 ** 20;
const momentBytes = 24;

/**
 * The moments of one number on one gateway. Values are clamped to [low, high] and the count to `maxCount`, so that no
 * sensor and no gateway weighs more than was agreed.
 */
export function momentsOf(
  values: Iterable<number>,
  { low, high, maxCount }: { low: number; high: number; maxCount: number },
): Moments {
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    const unit = (Math.min(high, Math.max(low, value)) - low) / (high - low);
    count++;
    sum += unit;
    squares += unit * unit;
  }
  const share = count > maxCount ? maxCount / count : 1;
  const kept = Math.min(count, maxCount);
  const whole = (total: number) => Math.min(kept * momentScale, Math.round(total * share * momentScale));
  return { count: kept, sum: whole(sum), squares: whole(squares) };
}

/** The body of an update of mode `statistics`: count, sum and squares of each number, float64 little endian. */
export function encodeMoments(moments: readonly Moments[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(moments.length * momentBytes));
  for (const [i, { count, sum, squares }] of moments.entries()) {
    view.setFloat64(i * momentBytes, count, true);
    view.setFloat64(i * momentBytes + 8, sum, true);
    view.setFloat64(i * momentBytes + 16, squares, true);
  }
  return new Uint8Array(view.buffer);
}

/**
 * Reads such a body, and holds it against what moments of values in [0, 1] can be.
 * @throws TidegateError UPDATE_INVALID
 */
export function decodeMoments(body: Uint8Array, length: number, maxCount: number): Moments[] {
  if (body.length !== length * momentBytes) throw invalid(`it has ${body.length} bytes for ${length} numbers`);
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  return Array.from({ length }, (_, i) => {
    const [count, sum, squares] = [0, 8, 16].map((at) => view.getFloat64(i * momentBytes + at, true)) as [
      number,
      number,
      number,
    ];
    if (![count, sum, squares].every((value) => Number.isSafeInteger(value) && value >= 0))
      throw invalid("a count or a sum is no whole number");
    if (count > maxCount) throw invalid(`a count is above ${maxCount}`);
    // With room for their rounding: squares of values up to 1 are no larger than the values, nor smaller than the mean asks.
    const isPossible =
      sum <= count * momentScale && squares <= sum + 1 && squares * count + 2 * count >= (sum * sum) / momentScale;
    if (!isPossible) throw invalid("its sums are not those of any values within the bounds");
    return { count, sum, squares };
  });
}

/** Adds up what gateways measured, exactly. @throws TidegateError SHAPE_MISMATCH */
export function addMoments(a: readonly Moments[], b: readonly Moments[]): Moments[] {
  if (a.length !== b.length)
    throw new TidegateError("SHAPE_MISMATCH", { what: "moments", expected: a.length, actual: b.length });
  return a.map((each, i) => {
    const other = b[i] as Moments;
    return { count: each.count + other.count, sum: each.sum + other.sum, squares: each.squares + other.squares };
  });
}

/** Mean and standard deviation in the value's own unit; null where nothing was counted. */
export function meanAndDeviation(
  { count, sum, squares }: Moments,
  { low, high }: { low: number; high: number },
): { mean: number; std: number } | null {
  if (count === 0) return null;
  const mean = sum / count / momentScale;
  const variance = Math.max(0, squares / count / momentScale - mean * mean);
  return { mean: low + mean * (high - low), std: Math.sqrt(variance) * (high - low) };
}

const invalid = (reason: string) => new TidegateError("UPDATE_INVALID", { reason });
