import { TidegateError } from "../base/errors.ts";
import { Hampel, type HampelOptions } from "./hampel.ts";
import type { Column, Slots } from "./slots.ts";
import { largest } from "./window.ts";

/** What is done about bad values. `StreamConfig["clean"]` fits. */
export type CleanOptions = {
  readonly range: Readonly<Record<string, readonly [number, number]>>;
  readonly missing: "drop" | "hold" | "linear";
  /** Longest gap that is held or drawn over, ms. */
  readonly missingLimit: number;
  readonly duplicates: "keep" | "drop";
  readonly outliers: "none" | "drop" | "hold";
  readonly hampel: HampelOptions;
};

/** Values that were changed, by what was done. */
export type CleanCounters = { range: number; outlier: number; held: number };

/** Whether a value can stand in a window. */
export const isUsable = (value: number): boolean => Math.abs(value) <= largest;

/** Duplicates, range, outliers and held values, field by field. Missing values are NaN before and after. */
export class Cleaner {
  /** With nothing asked for, readings may pass by it. */
  readonly isIdle: boolean;
  readonly #options: CleanOptions;
  readonly #width: number;
  readonly #used: Int32Array;
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #counters: CleanCounters;
  readonly #hampel: Hampel | undefined;
  /** The last reading as it came, and its time. */
  readonly #last: Column | undefined;
  readonly #lastTs: Column | undefined;
  /** Last good value of each used field, and its time. */
  readonly #held: Column | undefined;
  readonly #heldTs: Column | undefined;

  /**
   * @param used  the fields that windows are made of: the others are left as they are
   * @throws TidegateError PREPROCESS_INVALID
   */
  constructor(
    slots: Slots,
    fields: readonly string[],
    used: Int32Array,
    options: CleanOptions,
    counters: CleanCounters,
  ) {
    check(fields, options);
    const { range, missing, duplicates, outliers, hampel } = options;
    this.#options = options;
    this.#width = fields.length;
    this.#used = used;
    this.#counters = counters;
    this.#low = Float64Array.from(fields, (name) => Math.max(range[name]?.[0] ?? -largest, -largest));
    this.#high = Float64Array.from(fields, (name) => Math.min(range[name]?.[1] ?? largest, largest));
    this.isIdle = Object.keys(range).length === 0 && missing === "drop" && duplicates === "keep" && outliers === "none";
    if (outliers !== "none") this.#hampel = new Hampel(slots, used.length, hampel);
    if (duplicates === "drop") {
      this.#last = slots.column(fields.length, Number.NaN);
      this.#lastTs = slots.column(1, Number.NaN);
    }
    if (missing === "hold") {
      this.#held = slots.column(used.length, Number.NaN);
      this.#heldTs = slots.column(used.length, Number.NEGATIVE_INFINITY);
    }
  }

  /** Whether a reading has the time and the values of the one before it of its source. */
  isDuplicate(slot: number, ts: number, values: Float64Array): boolean {
    const last = this.#last?.data;
    const lastTs = this.#lastTs?.data;
    if (!last || !lastTs) return false;
    const width = this.#width;
    const at = slot * width;
    let isSame = lastTs[slot] === ts;
    lastTs[slot] = ts;
    for (let i = 0; i < width; i++) {
      const value = values[i] as number;
      const before = last[at + i] as number;
      if (value !== before && !(Number.isNaN(value) && Number.isNaN(before))) isSame = false;
      last[at + i] = value;
    }
    return isSame;
  }

  /** Cleans the used fields of `row` in place. */
  apply(slot: number, ts: number, row: Float64Array): void {
    const used = this.#used;
    const counters = this.#counters;
    for (let i = 0; i < used.length; i++) {
      const field = used[i] as number;
      let value = row[field] as number;
      if (value < (this.#low[field] as number) || value > (this.#high[field] as number)) {
        counters.range++;
        value = Number.NaN;
      }
      if (this.#hampel && !Number.isNaN(value)) value = this.#judged(this.#hampel, slot, i, value);
      if (this.#held && this.#heldTs) value = this.#orHeld(this.#held.data, this.#heldTs.data, slot, i, ts, value);
      row[field] = value;
    }
  }

  /** After a long pause, old values are no measure for new ones. */
  restart(slot: number): void {
    this.#hampel?.restart(slot);
  }

  #judged(hampel: Hampel, slot: number, i: number, value: number): number {
    const median = hampel.judge(slot, i, value);
    if (Number.isNaN(median)) return value;
    this.#counters.outlier++;
    return this.#options.outliers === "hold" ? median : Number.NaN;
  }

  #orHeld(held: Float64Array, heldTs: Float64Array, slot: number, i: number, ts: number, value: number): number {
    const at = slot * this.#used.length + i;
    if (Number.isNaN(value)) {
      if (!(ts - (heldTs[at] as number) <= this.#options.missingLimit)) return value;
      this.#counters.held++;
      return held[at] as number;
    }
    held[at] = value;
    heldTs[at] = ts;
    return value;
  }
}

function check(fields: readonly string[], { range, missingLimit, hampel, outliers }: CleanOptions): void {
  const fault = (key: string, reason: string) =>
    new TidegateError("PREPROCESS_INVALID", { what: `clean.${key}`, reason });
  for (const [name, [low, high]] of Object.entries(range)) {
    if (!fields.includes(name)) throw fault("range", `there is no field ${name}`);
    if (!(low <= high)) throw fault("range", `${name} cannot be from ${low} to ${high}`);
  }
  if (!(missingLimit >= 0)) throw fault("missingLimit", `${missingLimit} ms is no gap`);
  if (outliers === "none") return;
  if (!Number.isInteger(hampel.window) || hampel.window < 3)
    throw fault("hampel.window", `${hampel.window} readings have no median worth the name`);
  if (!(hampel.sigmas > 0)) throw fault("hampel.sigmas", `${hampel.sigmas} is no distance`);
}
