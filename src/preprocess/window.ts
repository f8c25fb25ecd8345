/** The last readings of one source: a ring that is written twice, so that a whole window always lies in one piece. */
export type WindowState = {
  ring: Float32Array;
  /** Rows in it, at most `size`. */
  count: number;
  /** Row that the next reading takes. */
  head: number;
  /** Rows since the last window was given. */
  since: number;
  lastTs: number;
};

export const createWindow = (size: number, width: number): WindowState => ({
  ring: new Float32Array(2 * size * width),
  count: 0,
  head: 0,
  since: 0,
  lastTs: Number.NaN,
});

/**
 * Appends a reading. A pause of more than `maxGapMs`, or a step back in time, starts the window anew.
 * @returns the window, oldest reading first, valid until the next call; null when none is due
 */
export function slide(
  state: WindowState,
  ts: number,
  row: Float64Array,
  columns: readonly number[],
  size: number,
  hop: number,
  maxGapMs: number,
): Float32Array | null {
  const pause = ts - state.lastTs;
  if (pause > maxGapMs || pause < 0) {
    state.count = 0;
    state.since = 0;
  }
  state.lastTs = ts;
  const width = columns.length;
  const at = state.head * width;
  const mirror = at + size * width;
  for (let i = 0; i < width; i++) {
    const value = row[columns[i] as number] as number;
    state.ring[at + i] = value;
    state.ring[mirror + i] = value;
  }
  state.head = state.head + 1 === size ? 0 : state.head + 1;
  state.since++;
  if (state.count < size) {
    state.count++;
    if (state.count < size) return null;
    // The first whole window is given whatever the hop.
    state.since = hop;
  }
  if (state.since < hop) return null;
  state.since = 0;
  return state.ring.subarray(state.head * width, (state.head + size) * width);
}
