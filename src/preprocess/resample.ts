import { TidegateError } from "../base/errors.ts";
import type { Column, Slots } from "./slots.ts";

/** What a cell's readings become: their mean, or the last of them. */
export type ResampleMethod = "mean" | "last";

/** Takes the points of the grid. `row` has one value per column, NaN where the cell had none; valid during the call only. */
export type PointSink = {
  /** A cell with readings is finished: sequence, time and arrival of its newest one. @returns whether it was taken */
  point(slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): boolean;
  /** An empty cell within a gap repeats the point before it. */
  fill(slot: number, row: Float64Array): void;
  /** A gap too long to be filled. */
  gap(slot: number): void;
};

export type ResampleOptions = {
  readonly everyMs: number;
  readonly method: ResampleMethod;
  /** Entries of a reading's row that the grid's rows hold, in order. */
  readonly columns: Int32Array;
  readonly maxGapMs: number;
  /** So many empty cells or more are a gap, however long `maxGapMs`: a window of repeats alone tells nothing. */
  readonly maxFill: number;
};

/**
 * Brings irregular readings to a grid: cell `n` takes the readings of [n * every, (n + 1) * every). It is finished by
 * the first reading of a later cell, or by `tick` once half a period has passed since its end, so that a result does
 * not wait for a sensor that has fallen silent.
 */
export class Resampler {
  readonly #options: ResampleOptions;
  readonly #sink: PointSink;
  readonly #width: number;
  /** Index of the open cell; NaN when none is. */
  readonly #cell: Column;
  /** Index of the last finished cell, and of the last that gave a point. */
  readonly #finished: Column;
  readonly #pointed: Column;
  /** When `tick` finishes the open cell, on the clock of arrivals. */
  readonly #due: Column;
  /** Sequence, time and arrival of the cell's newest reading. */
  readonly #newest: Column;
  readonly #sums: Column;
  readonly #counts: Column;
  readonly #last: Column;
  readonly #row: Float64Array;

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(slots: Slots, options: ResampleOptions, sink: PointSink) {
    const { everyMs, maxGapMs, columns } = options;
    const fault = (reason: string) => new TidegateError("PREPROCESS_INVALID", { what: "every", reason });
    if (!(everyMs > 0 && everyMs < Number.POSITIVE_INFINITY)) throw fault(`${everyMs} ms is no period`);
    if (maxGapMs < everyMs)
      throw fault(`${everyMs} ms is longer than window.maxGap, ${maxGapMs} ms: each point would start a window`);
    this.#options = options;
    this.#sink = sink;
    this.#width = columns.length;
    this.#cell = slots.column(1, Number.NaN);
    this.#finished = slots.column(1, Number.NEGATIVE_INFINITY);
    this.#pointed = slots.column(1, Number.NaN);
    this.#due = slots.column(1, Number.NaN);
    this.#newest = slots.column(3);
    this.#sums = slots.column(this.#width);
    this.#counts = slots.column(this.#width);
    this.#last = slots.column(this.#width, Number.NaN);
    this.#row = new Float64Array(this.#width);
  }

  /** Takes the next reading in time. @returns false when its cell is finished already */
  push(slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): boolean {
    const { everyMs } = this.#options;
    const cell = Math.floor(ts / everyMs);
    if (cell <= (this.#finished.data[slot] as number)) return false;
    if (cell > (this.#cell.data[slot] as number)) this.finish(slot);
    this.#cell.data[slot] = cell;
    this.#due.data[slot] = arrived + (cell + 1.5) * everyMs - ts;
    const newest = this.#newest.data;
    newest[3 * slot] = sequence;
    newest[3 * slot + 1] = ts;
    newest[3 * slot + 2] = arrived;
    this.#add(slot, row);
    return true;
  }

  /** Finishes the source's cell when it is due. @param now  on the clock of arrivals */
  tick(slot: number, now: number): void {
    if (Number.isNaN(this.#cell.data[slot])) return;
    // After a restart the due time is of another clock: the cell gets a fresh one.
    if (Number.isNaN(this.#due.data[slot])) this.#due.data[slot] = now + 1.5 * this.#options.everyMs;
    if (now >= (this.#due.data[slot] as number)) this.finish(slot);
  }

  /** Sequence of the newest reading in the source's open cell; Infinity when none is open. */
  openFrom(slot: number): number {
    return Number.isNaN(this.#cell.data[slot]) ? Number.POSITIVE_INFINITY : (this.#newest.data[3 * slot] as number);
  }

  /** Finishes the open cell, if there is one. */
  finish(slot: number): void {
    const cell = this.#cell.data[slot] as number;
    if (Number.isNaN(cell)) return;
    this.#cell.data[slot] = Number.NaN;
    this.#finished.data[slot] = cell;
    this.#bridge(slot, cell);
    const row = this.#row;
    const isMean = this.#options.method === "mean";
    for (let i = 0, at = slot * this.#width; i < this.#width; i++, at++) {
      const count = this.#counts.data[at] as number;
      const sum = this.#sums.data[at] as number;
      row[i] = count === 0 ? Number.NaN : isMean ? sum / count : sum;
      this.#sums.data[at] = 0;
      this.#counts.data[at] = 0;
    }
    const at = 3 * slot;
    const newest = this.#newest.data;
    const isTaken = this.#sink.point(
      slot,
      newest[at] as number,
      newest[at + 1] as number,
      newest[at + 2] as number,
      row,
    );
    if (!isTaken) return;
    this.#pointed.data[slot] = cell;
    for (let i = 0; i < this.#width; i++) this.#last.data[slot * this.#width + i] = row[i] as number;
  }

  /** Times of another clock are void. */
  forgetDue(slot: number): void {
    this.#due.data[slot] = Number.NaN;
  }

  /** After a gap nothing is repeated. */
  restart(slot: number): void {
    this.#pointed.data[slot] = Number.NaN;
  }

  #add(slot: number, row: Float64Array): void {
    const { columns, method } = this.#options;
    for (let i = 0; i < columns.length; i++) {
      const value = row[columns[i] as number] as number;
      if (Number.isNaN(value)) continue;
      const at = slot * this.#width + i;
      this.#sums.data[at] = method === "mean" ? (this.#sums.data[at] as number) + value : value;
      this.#counts.data[at] = (this.#counts.data[at] as number) + 1;
    }
  }

  /** Fills the empty cells before one that is finished, or calls them a gap. */
  #bridge(slot: number, cell: number): void {
    const empty = cell - (this.#pointed.data[slot] as number) - 1;
    if (!(empty > 0)) return;
    const { everyMs, maxGapMs, maxFill } = this.#options;
    if (empty * everyMs > maxGapMs || empty >= maxFill) {
      this.#sink.gap(slot);
      return;
    }
    const row = this.#row;
    for (let i = 0; i < this.#width; i++) row[i] = this.#last.data[slot * this.#width + i] as number;
    for (let i = 0; i < empty; i++) this.#sink.fill(slot, row);
  }
}
