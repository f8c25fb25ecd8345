/** Readings of one source that wait for the end of a gap. */
export type GapState = {
  /** Waiting readings: time, sequence, arrival, then the values. */
  waiting: Float64Array[];
  /** Last complete reading before them; NaN time when there is none. */
  beforeTs: number;
  before: Float64Array;
};

export type Emit = (sequence: number, ts: number, arrived: number, row: Float64Array) => void;

const head = 3;
/** A gap of more readings than this is not drawn over, however short it is. */
const maxWaiting = 256;

export const createGap = (width: number): GapState => ({
  waiting: [],
  beforeTs: Number.NaN,
  before: new Float64Array(width),
});

/**
 * Draws straight lines over missing values: an incomplete reading waits until the next complete one comes, or the gap
 * has grown longer than `limitMs`; then its readings are given up.
 * @returns how many readings were given up
 */
export function interpolate(
  state: GapState,
  sequence: number,
  ts: number,
  arrived: number,
  row: Float64Array,
  limitMs: number,
  emit: Emit,
): number {
  if (row.some(Number.isNaN)) {
    state.waiting.push(Float64Array.of(ts, sequence, arrived, ...row));
    const isTooLong = ts - state.beforeTs > limitMs || Number.isNaN(state.beforeTs);
    return isTooLong || state.waiting.length > maxWaiting ? giveUp(state) : 0;
  }
  let lost = 0;
  if (state.waiting.length > 0) {
    const span = ts - state.beforeTs;
    if (!(span <= limitMs) || span <= 0) lost = giveUp(state);
    for (const waiting of state.waiting) {
      const share = ((waiting[0] as number) - state.beforeTs) / span;
      const filled = waiting.slice(head);
      for (let i = 0; i < filled.length; i++) {
        const before = state.before[i] as number;
        if (Number.isNaN(filled[i])) filled[i] = before + share * ((row[i] as number) - before);
      }
      emit(waiting[1] as number, waiting[0] as number, waiting[2] as number, filled);
    }
    state.waiting = [];
  }
  state.beforeTs = ts;
  state.before.set(row);
  emit(sequence, ts, arrived, row);
  return lost;
}

function giveUp(state: GapState): number {
  const lost = state.waiting.length;
  state.waiting = [];
  state.beforeTs = Number.NaN;
  return lost;
}
