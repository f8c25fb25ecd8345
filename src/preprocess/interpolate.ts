import type { Column, Slots } from "./slots.ts";

/** Takes one reading of the source in `slot`. `row` is valid during the call only. */
export type Sink = (slot: number, sequence: number, ts: number, arrived: number, row: Float64Array) => void;

/** Readings of one source that wait at most; more, and the oldest is given up. */
const maxWaiting = 128;

/** Sequence, time and arrival stand before the values of a waiting reading. */
const head = 3;

/**
 * Draws straight lines over missing values, each field for itself: a reading that lacks one waits until the field's next
 * value, and all later readings of its source wait behind it. A reading is given up when its field had no value before,
 * or when the gap between the two is longer than the limit.
 */
export class Interpolator {
  readonly #fields: Int32Array;
  readonly #limitMs: number;
  readonly #sink: Sink;
  readonly #onLost: () => void;
  readonly #stride: number;
  /** Waiting readings in a ring; a sequence of NaN marks one that is given up. */
  readonly #waiting: Column;
  readonly #first: Column;
  readonly #count: Column;
  /** Last value of each field that came, and its time. */
  readonly #known: Column;
  readonly #knownTs: Column;
  readonly #row: Float64Array;

  /** @param fields  the entries of a row that must not be missing */
  constructor(slots: Slots, fields: Int32Array, width: number, limitMs: number, sink: Sink, onLost: () => void) {
    this.#fields = fields;
    this.#limitMs = limitMs;
    this.#sink = sink;
    this.#onLost = onLost;
    this.#stride = head + fields.length;
    this.#waiting = slots.column(maxWaiting * this.#stride);
    this.#first = slots.column(1);
    this.#count = slots.column(1);
    this.#known = slots.column(fields.length, Number.NaN);
    this.#knownTs = slots.column(fields.length, Number.NEGATIVE_INFINITY);
    this.#row = new Float64Array(width);
  }

  /** Takes the next reading in time; hands it and those it completes to the sink, in order. */
  push(slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): void {
    const fields = this.#fields;
    const waits = (this.#count.data[slot] as number) > 0;
    let isComplete = true;
    for (let i = 0; i < fields.length; i++) if (Number.isNaN(row[fields[i] as number])) isComplete = false;
    if (waits || !isComplete) this.#append(slot, sequence, ts, arrived, row);
    for (let i = 0; i < fields.length; i++) {
      const value = row[fields[i] as number] as number;
      if (Number.isNaN(value)) continue;
      const at = slot * fields.length + i;
      if (waits) this.#draw(slot, i, this.#knownTs.data[at] as number, this.#known.data[at] as number, ts, value);
      this.#knownTs.data[at] = ts;
      this.#known.data[at] = value;
    }
    if (waits || !isComplete) this.#release(slot, ts);
    else this.#sink(slot, sequence, ts, arrived, row);
  }

  /** The lowest sequence number among the readings that wait; Infinity when none does. */
  openFrom(slot: number): number {
    const { data } = this.#waiting;
    for (let i = 0; i < (this.#count.data[slot] as number); i++) {
      const sequence = data[this.#at(slot, i)] as number;
      if (!Number.isNaN(sequence)) return sequence;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Gives up what waits. */
  abandon(slot: number): void {
    while ((this.#count.data[slot] as number) > 0) this.#drop(slot);
  }

  /** Whether a state that was read from outside can be this one's. */
  isSound(slot: number): boolean {
    const isIndex = (value: number | undefined, end: number) =>
      Number.isInteger(value) && Number(value) >= 0 && Number(value) < end;
    return isIndex(this.#first.data[slot], maxWaiting) && isIndex(this.#count.data[slot], maxWaiting + 1);
  }

  /** Where the `i`th waiting reading starts. */
  #at(slot: number, i: number): number {
    return (slot * maxWaiting + (((this.#first.data[slot] as number) + i) % maxWaiting)) * this.#stride;
  }

  #append(slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): void {
    if (this.#count.data[slot] === maxWaiting) this.#drop(slot);
    const count = this.#count.data[slot] as number;
    const { data } = this.#waiting;
    const at = this.#at(slot, count);
    data[at] = sequence;
    data[at + 1] = ts;
    data[at + 2] = arrived;
    for (let i = 0; i < this.#fields.length; i++) data[at + head + i] = row[this.#fields[i] as number] as number;
    this.#count.data[slot] = count + 1;
  }

  /** Draws the line of one field over the run of readings that lack it, up to the newest. */
  #draw(slot: number, field: number, fromTs: number, from: number, ts: number, value: number): void {
    const { data } = this.#waiting;
    const span = ts - fromTs;
    for (let i = (this.#count.data[slot] as number) - 2; i >= 0; i--) {
      const at = this.#at(slot, i);
      if (!Number.isNaN(data[at + head + field])) return;
      if (span <= this.#limitMs) {
        // Halves are weighed apart: the difference of two large values may overflow.
        const share = span > 0 ? ((data[at + 1] as number) - fromTs) / span : 0;
        data[at + head + field] = from * (1 - share) + value * share;
      } else data[at] = Number.NaN;
    }
  }

  /** Hands on from the oldest until one still waits. */
  #release(slot: number, now: number): void {
    const { data } = this.#waiting;
    while ((this.#count.data[slot] as number) > 0) {
      const at = this.#at(slot, 0);
      if (Number.isNaN(data[at]) || this.#isHopeless(slot, at, now)) {
        this.#drop(slot);
        continue;
      }
      const row = this.#row;
      row.fill(Number.NaN);
      for (let i = 0; i < this.#fields.length; i++) {
        const value = data[at + head + i] as number;
        if (Number.isNaN(value)) return;
        row[this.#fields[i] as number] = value;
      }
      this.#first.data[slot] = ((this.#first.data[slot] as number) + 1) % maxWaiting;
      this.#count.data[slot] = (this.#count.data[slot] as number) - 1;
      this.#sink(slot, data[at] as number, data[at + 1] as number, data[at + 2] as number, row);
    }
  }

  /** Whether no later value can complete a reading. */
  #isHopeless(slot: number, at: number, now: number): boolean {
    const { data } = this.#waiting;
    const width = this.#fields.length;
    for (let i = 0; i < width; i++)
      if (
        Number.isNaN(data[at + head + i]) &&
        !(now - (this.#knownTs.data[slot * width + i] as number) <= this.#limitMs)
      )
        return true;
    return false;
  }

  #drop(slot: number): void {
    this.#first.data[slot] = ((this.#first.data[slot] as number) + 1) % maxWaiting;
    this.#count.data[slot] = (this.#count.data[slot] as number) - 1;
    this.#onLost();
  }
}
