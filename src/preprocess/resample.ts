import type { Emit } from "./interpolate.ts";

/** The cell of the grid that one source is filling. */
export type CellState = {
  /** Index of the cell: time / every; NaN before the first reading. */
  cell: number;
  sums: Float64Array;
  counts: Float64Array;
  sequence: number;
  arrived: number;
  /** Mean of the last finished cell. */
  last: Float64Array;
};

export const createCell = (width: number): CellState => ({
  cell: Number.NaN,
  sums: new Float64Array(width),
  counts: new Float64Array(width),
  sequence: 0,
  arrived: 0,
  last: new Float64Array(width).fill(Number.NaN),
});

/**
 * Brings irregular readings to a grid: each cell of `everyMs` gives the mean of its readings, with the time of its
 * start, once a reading of a later cell has come. Empty cells repeat the last one while the gap is at most `maxGapMs`.
 */
export function resample(
  state: CellState,
  sequence: number,
  ts: number,
  arrived: number,
  row: Float64Array,
  everyMs: number,
  maxGapMs: number,
  emit: Emit,
): void {
  const cell = Math.floor(ts / everyMs);
  if (!Number.isNaN(state.cell) && cell > state.cell) {
    finish(state, everyMs, emit);
    const empty = cell - state.cell - 1;
    if (empty > 0 && empty * everyMs <= maxGapMs)
      for (let i = 1; i <= empty; i++)
        emit(state.sequence, (state.cell + i) * everyMs, state.arrived, state.last.slice());
  }
  // A reading of an earlier cell joins the one that is open: finished ones are not opened again.
  if (!(cell <= state.cell)) state.cell = cell;
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    if (Number.isNaN(value)) continue;
    state.sums[i] = (state.sums[i] as number) + value;
    state.counts[i] = (state.counts[i] as number) + 1;
  }
  state.sequence = sequence;
  state.arrived = arrived;
}

function finish(state: CellState, everyMs: number, emit: Emit): void {
  for (let i = 0; i < state.sums.length; i++) state.last[i] = (state.sums[i] as number) / (state.counts[i] as number);
  state.sums.fill(0);
  state.counts.fill(0);
  emit(state.sequence, state.cell * everyMs, state.arrived, state.last.slice());
}
