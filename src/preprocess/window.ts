import { TidegateError } from "../base/errors.ts";
import type { Column, Slots } from "./slots.ts";

/** Windows are float32: what is larger would become infinite there. */
export const largest = 3.4028234663852886e38;

/** Readings in a window, readings from one window to the next, and the pause (ms) that starts it anew. */
export type WindowOptions = { readonly size: number; readonly hop: number; readonly maxGap: number };

/** @throws TidegateError PREPROCESS_INVALID */
export function checkWindow({ size, hop, maxGap }: WindowOptions): void {
  for (const [name, value] of Object.entries({ size, hop }))
    if (!Number.isInteger(value) || value < 1)
      throw new TidegateError("PREPROCESS_INVALID", {
        what: `window.${name}`,
        reason: `${value} is no count of readings`,
      });
  if (!(maxGap > 0))
    throw new TidegateError("PREPROCESS_INVALID", { what: "window.maxGap", reason: `${maxGap} ms is no pause` });
}

/**
 * The last `size` rows of each source, in a ring.
 *
 * A window is due when it is full and `hop` rows have come since the last one that was; the first as soon as it is full.
 */
export class WindowRing {
  readonly size: number;
  readonly width: number;
  readonly #hop: number;
  readonly #rows: Column;
  /** Where the next row goes, in numbers from the start of the slot's ring. */
  readonly #head: Column;
  readonly #filled: Column;
  /** Rows since the last due window. */
  readonly #since: Column;

  constructor(slots: Slots, { size, hop }: WindowOptions, width: number) {
    this.size = size;
    this.width = width;
    this.#hop = hop;
    this.#rows = slots.column(size * width);
    this.#head = slots.column(1);
    this.#filled = slots.column(1);
    this.#since = slots.column(1, hop);
  }

  /** Rows that the source's window holds. */
  filled(slot: number): number {
    return this.#filled.data[slot] ?? 0;
  }

  /** Starts the window anew. */
  restart(slot: number): void {
    this.#head.data[slot] = 0;
    this.#filled.data[slot] = 0;
    this.#since.data[slot] = this.#hop;
  }

  /**
   * Appends a row.
   *
   * @param columns  which entries of `row` the window holds, in order
   * @param mayEnd  false for a row that stands for no reading: no window ends with it, a due one waits
   * @returns whether a window is due
   */
  append(slot: number, row: Float64Array, columns: Int32Array, mayEnd: boolean): boolean {
    const { size, width } = this;
    const rows = this.#rows.data;
    const total = size * width;
    const head = this.#head.data[slot] as number;
    const at = slot * total + head;
    for (let i = 0; i < width; i++) rows[at + i] = row[columns[i] as number] as number;
    this.#head.data[slot] = head + width === total ? 0 : head + width;
    const filled = Math.min(size, (this.#filled.data[slot] as number) + 1);
    const since = (this.#since.data[slot] as number) + 1;
    const isDue = mayEnd && filled === size && since >= this.#hop;
    this.#filled.data[slot] = filled;
    this.#since.data[slot] = isDue ? 0 : since;
    return isDue;
  }

  /** Copies a full window to `into`, oldest row first. */
  copy(slot: number, into: Float32Array): void {
    const rows = this.#rows.data;
    const total = this.size * this.width;
    const start = slot * total;
    const head = this.#head.data[slot] as number;
    let to = 0;
    for (let i = head; i < total; i++) into[to++] = rows[start + i] as number;
    for (let i = 0; i < head; i++) into[to++] = rows[start + i] as number;
  }

  /** Copies it as `(value - origin) * factor` of its column, within float32. */
  copyScaled(slot: number, into: Float32Array, origins: Float64Array, factors: Float64Array): void {
    const rows = this.#rows.data;
    const { width } = this;
    const total = this.size * width;
    const start = slot * total;
    let from = this.#head.data[slot] as number;
    let to = 0;
    while (to < total) {
      for (let i = 0; i < width; i++) {
        const value = ((rows[start + from++] as number) - (origins[i] as number)) * (factors[i] as number);
        into[to++] = Math.max(-largest, Math.min(largest, value));
      }
      if (from === total) from = 0;
    }
  }

  /** Whether a state that was read from outside can be this ring's. */
  isSound(slot: number): boolean {
    const head = this.#head.data[slot] as number;
    const filled = this.#filled.data[slot] as number;
    const isRow = Number.isInteger(head / this.width) && head >= 0 && head < this.size * this.width;
    return isRow && Number.isInteger(filled) && filled >= 0 && filled <= this.size;
  }
}
