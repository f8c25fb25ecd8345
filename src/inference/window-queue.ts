/** What belongs to each window, column by column; arrays are at least as long as there are windows. */
export type WindowColumns = {
  /** Index of the source in the stream's dictionary. */
  readonly sources: Uint32Array;
  /** Sequence number of the window's newest reading. */
  readonly sequences: Float64Array;
  /** Time of the newest reading, ms UTC. */
  readonly ts: Float64Array;
  /** When it arrived, monotonic ms. */
  readonly arrived: Float64Array;
  /** Values, `width` per window. */
  readonly values: Float32Array;
};

export function windowColumns(count: number, values: Float32Array): WindowColumns {
  return {
    sources: new Uint32Array(count),
    sequences: new Float64Array(count),
    ts: new Float64Array(count),
    arrived: new Float64Array(count),
    values,
  };
}

const firstCapacity = 64;

/** Windows that wait for a batch: a ring, first in first out, that grows up to its limit. */
export class WindowQueue {
  readonly width: number;
  /** Most windows that wait. */
  readonly limit: number;
  #columns: WindowColumns;
  #capacity: number;
  #head = 0;
  #length = 0;

  constructor(width: number, limit: number) {
    this.width = width;
    this.limit = limit;
    this.#capacity = Math.min(firstCapacity, limit);
    this.#columns = windowColumns(this.#capacity, new Float32Array(this.#capacity * width));
  }

  get length(): number {
    return this.#length;
  }

  /** The lowest sequence number among the windows that wait, Infinity when none does. */
  get oldest(): number {
    const { sequences } = this.#columns;
    let oldest = Number.POSITIVE_INFINITY;
    for (let i = 0, at = this.#head; i < this.#length; i++, at = at + 1 === this.#capacity ? 0 : at + 1)
      oldest = Math.min(oldest, sequences[at] as number);
    return oldest;
  }

  /** Appends a copy of a window. The caller has made room: `length < limit`. */
  push(source: number, sequence: number, ts: number, arrived: number, window: Float32Array): void {
    if (this.#length === this.#capacity) this.#grow();
    let at = this.#head + this.#length;
    if (at >= this.#capacity) at -= this.#capacity;
    const { sources, sequences, ts: times, arrived: arrivals, values } = this.#columns;
    sources[at] = source;
    sequences[at] = sequence;
    times[at] = ts;
    arrivals[at] = arrived;
    const { width } = this;
    const start = at * width;
    // A loop beats `set` for the few dozen values of a usual window.
    if (width <= 64) for (let i = 0; i < width; i++) values[start + i] = window[i] as number;
    else values.set(width === window.length ? window : window.subarray(0, width), start);
    this.#length++;
  }

  /** Moves the oldest `count` windows to the start of `into`. */
  take(count: number, into: WindowColumns): void {
    const first = Math.min(count, this.#capacity - this.#head);
    this.#copy(this.#head, first, into, 0);
    if (count > first) this.#copy(0, count - first, into, first);
    this.drop(count);
  }

  /** Forgets the oldest `count` windows. */
  drop(count: number): void {
    this.#length -= count;
    // An empty ring starts over, so that a quiet stream keeps to few pages of memory.
    this.#head = this.#length === 0 ? 0 : (this.#head + count) % this.#capacity;
  }

  #copy(from: number, count: number, into: WindowColumns, at: number): void {
    const { sources, sequences, ts, arrived, values } = this.#columns;
    into.sources.set(sources.subarray(from, from + count), at);
    into.sequences.set(sequences.subarray(from, from + count), at);
    into.ts.set(ts.subarray(from, from + count), at);
    into.arrived.set(arrived.subarray(from, from + count), at);
    into.values.set(values.subarray(from * this.width, (from + count) * this.width), at * this.width);
  }

  #grow(): void {
    const capacity = Math.min(this.limit, this.#capacity * 2);
    const larger = windowColumns(capacity, new Float32Array(capacity * this.width));
    const length = this.#length;
    this.take(length, larger);
    this.#columns = larger;
    this.#capacity = capacity;
    this.#head = 0;
    this.#length = length;
  }
}
