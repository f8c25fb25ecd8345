import { readingFlags } from "../base/frame.ts";
import type { Column, Slots } from "./slots.ts";

/** What a reading's time says beside the newest one of its source. */
export type Order = "next" | "late" | "step";

/**
 * Late readings in a row, in order among themselves, that mean the sensor's clock was set back: one reading from the
 * future would silence its source for ever otherwise.
 */
export const stepAfter = 16;

/** Tells late readings from a clock that was set back. */
export class Chronicle {
  readonly #newest: Column;
  readonly #lateCount: Column;
  readonly #lateTs: Column;

  constructor(slots: Slots) {
    this.#newest = slots.column(1, Number.NEGATIVE_INFINITY);
    this.#lateCount = slots.column(1);
    this.#lateTs = slots.column(1);
  }

  /** Takes a reading's time. After "step" the source's state is to be cleared, and the reading taken again. */
  take(slot: number, ts: number, flags: number): Order {
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
    return count < stepAfter ? "late" : "step";
  }
}
