import { readingFlags } from "../base/frame.ts";
import type { Column, Slots } from "./slots.ts";

/** What a reading's time says beside the newest one of its source. */
export type Order = "next" | "late" | "step";

/**
 * Late readings in a row, in order among themselves, that mean the sensor's clock was set back: one reading from the
 * future would silence its source for ever otherwise.
 */
export const stepAfter = 16;

/**
 * Tells late readings from a clock that was set back. It keeps the late ones until that is known: they are the past of
 * what follows, and a broker that sends again what it had saved must not cost the windows after it.
 */
export class Chronicle {
  readonly #fields: number;
  readonly #newest: Column;
  readonly #lateCount: Column;
  readonly #lateTs: Column;
  /** Time and values of the late readings in a row. */
  readonly #lateRows: Column;

  /** @param fields  values of a reading */
  constructor(slots: Slots, fields: number) {
    this.#fields = fields;
    this.#lateRows = slots.column((stepAfter - 1) * (1 + fields));
    this.#newest = slots.column(1, Number.NEGATIVE_INFINITY);
    this.#lateCount = slots.column(1);
    this.#lateTs = slots.column(1);
  }

  /**
   * Takes a reading's time. After "step" the source's state is to be cleared, what `run` gave before that taken up again,
   * and then the reading.
   */
  take(slot: number, ts: number, flags: number, values: Float64Array): Order {
    const newest = this.#newest.data[slot] as number;
    // The broker gives again what it had no acknowledgement for: that tells nothing of the sensor's clock.
    if ((flags & readingFlags.maybeRepeated) !== 0 && ts <= newest && (flags & readingFlags.sensorTime) !== 0)
      return "late";
    if (ts >= newest) {
      this.#newest.data[slot] = ts;
      this.#lateCount.data[slot] = 0;
      return "next";
    }
    // A time of arrival that goes back is the gateway's own clock being set: nothing came late.
    if ((flags & (readingFlags.sensorTime | readingFlags.late)) === 0) return "step";
    const isInOrder = ts >= (this.#lateTs.data[slot] as number);
    const count = isInOrder ? (this.#lateCount.data[slot] as number) + 1 : 1;
    this.#lateCount.data[slot] = count;
    this.#lateTs.data[slot] = ts;
    if (count >= stepAfter) return "step";
    const { data } = this.#lateRows;
    const at = (slot * (stepAfter - 1) + count - 1) * (1 + this.#fields);
    data[at] = ts;
    data.set(values.subarray(0, this.#fields), at + 1);
    return "late";
  }

  /** After "step": the late readings in a row before it, oldest first, each its time and then its values. */
  run(slot: number): Float64Array[] {
    const count = Math.max(0, (this.#lateCount.data[slot] as number) - 1);
    const width = 1 + this.#fields;
    const start = slot * (stepAfter - 1) * width;
    return Array.from({ length: count }, (_, i) =>
      this.#lateRows.data.slice(start + i * width, start + (i + 1) * width),
    );
  }
}
