/** Values of one reading, in the order of the card's fields. */
export type Row = readonly number[];

/** A linear predictor of a window's newest reading from those before it, and how its errors become a score. */
export type Predictor = {
  /** Readings in a window, the predicted one included. */
  readonly size: number;
  /** [(size - 1) * fields][fields]: past readings, oldest first and without the window's level, to the newest. */
  readonly weights: readonly (readonly number[])[];
  /** Root mean square of the errors on the readings that the weights come from, per field. */
  readonly scale: readonly number[];
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Cuts a window into what is known and what is to be predicted, both without the mean of the known readings. */
function centred(window: readonly Row[]): { past: number[]; newest: number[]; level: number[] } {
  const known = window.slice(0, -1);
  const level = (window[0] ?? []).map((_, field) => sum(known.map((row) => row[field] ?? 0)) / known.length);
  const without = (row: Row): number[] => row.map((value, field) => value - (level[field] ?? 0));
  return { past: known.flatMap(without), newest: without(window.at(-1) ?? []), level };
}

/** All windows of `size` readings in a series, one every `hop` readings. */
export function windowsOf(series: readonly Row[], size: number, hop: number): (readonly Row[])[] {
  const windows: (readonly Row[])[] = [];
  for (let end = size; end <= series.length; end += hop) windows.push(series.slice(end - size, end));
  return windows;
}

/**
 * Fits a predictor by least squares with a small penalty on the weights (ridge).
 * @param windows  of `size` readings each
 * @param penalty  added to the diagonal of the normal equations, in squared units of the readings
 */
export function fitPredictor(windows: readonly (readonly Row[])[], penalty: number): Predictor {
  const examples = windows.map(centred);
  const width = examples[0]?.past.length ?? 0;
  const fields = examples[0]?.newest.length ?? 0;
  // Each row: the normal matrix, and behind it one right-hand side per field.
  const rows = Array.from({ length: width }, (_, i) => {
    const row = new Float64Array(width + fields);
    row[i] = penalty;
    for (const { past, newest } of examples) {
      const factor = past[i] ?? 0;
      for (let j = 0; j < width; j++) row[j] = (row[j] ?? 0) + factor * (past[j] ?? 0);
      for (let k = 0; k < fields; k++) row[width + k] = (row[width + k] ?? 0) + factor * (newest[k] ?? 0);
    }
    return row;
  });
  eliminate(rows);
  const weights = rows.map((row) => [...row.subarray(width)]);
  const unscaled = { size: windows[0]?.length ?? 0, weights, scale: Array(fields).fill(1) as number[] };
  const errors = windows.map((window) => errorsOf(unscaled, window));
  const scale = unscaled.scale.map((_, field) =>
    Math.sqrt(sum(errors.map((error) => (error[field] ?? 0) ** 2)) / errors.length),
  );
  return { ...unscaled, scale };
}

/** Gauss and Jordan, in place: afterwards the left part is the identity. The penalty keeps every pivot above 0. */
function eliminate(rows: Float64Array[]): void {
  for (const [i, pivotRow] of rows.entries()) {
    const pivot = pivotRow[i] ?? 1;
    for (let column = i; column < pivotRow.length; column++) pivotRow[column] = (pivotRow[column] ?? 0) / pivot;
    for (const [r, row] of rows.entries()) {
      const factor = row[i] ?? 0;
      if (r === i || factor === 0) continue;
      for (let column = i; column < row.length; column++)
        row[column] = (row[column] ?? 0) - factor * (pivotRow[column] ?? 0);
    }
  }
}

/** What the predictor expects the window's newest reading to be, per field. */
export function expectedOf({ weights }: Predictor, window: readonly Row[]): number[] {
  const { past, level } = centred(window);
  return level.map((value, field) => value + sum(past.map((x, i) => x * (weights[i]?.[field] ?? 0))));
}

function errorsOf(predictor: Predictor, window: readonly Row[]): number[] {
  return expectedOf(predictor, window).map((expected, field) => (window.at(-1)?.[field] ?? 0) - expected);
}

/** Root mean square over the fields of error / scale: 1 is what the readings of the fit had on average. */
export function rawScoreOf(predictor: Predictor, window: readonly Row[]): number {
  const { scale } = predictor;
  const squares = errorsOf(predictor, window).map((error, field) => (error / (scale[field] ?? 1)) ** 2);
  return Math.sqrt(sum(squares) / squares.length);
}
