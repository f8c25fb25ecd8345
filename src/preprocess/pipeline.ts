import { TidegateError } from "../base/errors.ts";
import { Chronicle } from "./chronicle.ts";
import { Cleaner, isUsable } from "./clean.ts";
import { Interpolator } from "./interpolate.ts";
import { Normalizer, type Statistics } from "./normalize.ts";
import type { PipelineOptions } from "./pipeline-options.ts";
import { Resampler } from "./resample.ts";
import { type Column, Slots } from "./slots.ts";
import { decodeSnapshot, encodeSnapshot, fingerprintOf } from "./snapshot.ts";
import { Transformer } from "./transform.ts";
import { checkWindow, WindowRing } from "./window.ts";

const dayMs = 86_400_000;

/**
 * A stream's readings to windows, each source for itself: clean, transform, resample, window, normalize.
 *
 * It knows no clock: the same readings in the same order give the same windows, which is what recovery builds on. What
 * `tick` adds is only that time passes where no reading says so.
 */
export class Pipeline {
  /**
   * Readings (of a resampled stream: points) that reached no window, by reason; values changed by cleaning; windows
   * given. `transform`: a step gave no number, since its past is too short still or it is not defined.
   */
  readonly counters = {
    dropped: { late: 0, duplicate: 0, missing: 0, transform: 0, sources: 0 },
    changed: { range: 0, outlier: 0, held: 0 },
    windows: 0,
  };
  readonly #options: PipelineOptions;
  readonly #idleExpiryMs: number;
  readonly #slots: Slots;
  readonly #heard: Column;
  /** Time of the last reading that went past cleaning. */
  readonly #rowTs: Column;
  readonly #chronicle: Chronicle;
  readonly #cleaner: Cleaner;
  readonly #interpolator: Interpolator | undefined;
  readonly #transformer: Transformer;
  readonly #resampler: Resampler | undefined;
  readonly #ring: WindowRing;
  readonly #normalizer: Normalizer;
  readonly #isPlain: boolean;
  /** Windows that are completed now are not given. */
  #isSilent = false;
  /** Window columns among those of a finished row. */
  readonly #columns: Int32Array;
  /** Window columns among those of a point. */
  readonly #own: Int32Array;
  readonly #used: Int32Array;
  readonly #row: Float64Array;
  readonly #window: Float32Array;
  /** A row as the observer sees it. */
  readonly #told: Float32Array;
  readonly #fingerprint: Uint8Array;

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(options: PipelineOptions) {
    this.#options = options;
    const { stream, fields, outputs, window, statistics } = options;
    const { clean, transform, every, normalize, maxSources = 1024, resample = "mean" } = stream;
    checkWindow(window);
    const slots = new Slots(maxSources);
    this.#slots = slots;
    this.#heard = slots.column(1);
    this.#rowTs = slots.column(1, Number.NaN);
    this.#chronicle = new Chronicle(slots, fields.length);
    this.#transformer = new Transformer(slots, fields, transform);
    this.#columns = columnsOf(outputs, this.#transformer.fields);
    this.#own = Int32Array.from(outputs, (_name, i) => i);
    this.#used = this.#transformer.inputsOf(this.#columns, fields.length);
    this.#cleaner = new Cleaner(slots, fields, this.#used, clean, this.counters.changed);
    const width = this.#transformer.fields.length;
    if (clean.missing === "linear")
      this.#interpolator = new Interpolator(slots, this.#used, width, clean.missingLimit, this.#onRow, this.#onLost);
    if (every !== undefined) {
      const grid = { everyMs: every, method: resample, columns: this.#columns };
      this.#resampler = new Resampler(
        slots,
        { ...grid, maxGapMs: window.maxGap, maxFill: window.size },
        {
          point: this.#onPoint,
          fill: (slot, row) => void this.#append(slot, Number.NaN, row, this.#own, false),
          gap: (slot) => this.#restartWindow(slot),
        },
      );
    }
    this.#ring = new WindowRing(slots, window, outputs.length);
    this.#normalizer = new Normalizer(normalize, outputs.length, statistics);
    this.#isPlain = this.#cleaner.isIdle && this.#transformer.isIdle && every === undefined;
    this.#row = new Float64Array(width);
    this.#window = new Float32Array(window.size * outputs.length);
    this.#told = new Float32Array(outputs.length);
    const longest = Number.isFinite(window.maxGap) ? Math.max(dayMs, 2 * window.maxGap) : 7 * dayMs;
    this.#idleExpiryMs = options.idleExpiryMs ?? longest;
    this.#fingerprint = fingerprintOf(
      clean,
      transform,
      every,
      resample,
      normalize,
      fields,
      outputs,
      window,
      statistics,
    );
  }

  /** Takes one reading; calls `emit` for each window that it completes. @param values  one per field, NaN where missing; not modified */
  push(source: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void {
    const slot = this.#slotOf(source);
    if (slot < 0) {
      this.counters.dropped.sources++;
      return;
    }
    this.#heard.data[slot] = arrived;
    const order = this.#chronicle.take(slot, ts, flags, values);
    if (order === "late") {
      this.counters.dropped.late++;
      return;
    }
    if (order === "step") this.#stepBack(slot, sequence, ts, arrived, values, flags);
    this.#onReading(slot, sequence, ts, arrived, values);
  }

  #onReading(slot: number, sequence: number, ts: number, arrived: number, values: Float64Array): void {
    if (this.#isPlain) this.#onRow(slot, sequence, ts, arrived, values);
    else this.#clean(slot, sequence, ts, arrived, values);
  }

  /**
   * The source's time goes back: what was known of it is over. The late readings that showed it are the past of this one;
   * windows that end with them are not given, since the numbers of later readings may have been given out already.
   */
  #stepBack(slot: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void {
    this.#finish(slot);
    const run = this.#chronicle.run(slot);
    this.#options.observer?.restart(this.#slots.sourceAt(slot));
    this.#slots.clear(slot);
    this.#heard.data[slot] = arrived;
    this.#isSilent = true;
    for (const [earlier = ts, ...row] of run) {
      const past = Float64Array.from(row);
      this.#chronicle.take(slot, earlier, flags, past);
      this.#onReading(slot, sequence, earlier, arrived, past);
    }
    this.#isSilent = false;
    this.#chronicle.take(slot, ts, flags, values);
  }

  /** Lets time pass: finishes what is due, forgets sources that have been idle for long. @param now  monotonic ms */
  tick(now: number): void {
    for (let slot = 0; slot < this.#slots.end; slot++) {
      if (this.#slots.sourceAt(slot) < 0) continue;
      this.#resampler?.tick(slot, now);
      const heard = this.#heard.data[slot] as number;
      if (Number.isNaN(heard)) this.#heard.data[slot] = now;
      else if (now - heard > this.#idleExpiryMs) {
        this.#finish(slot);
        this.#options.observer?.restart(this.#slots.sourceAt(slot));
        this.#slots.remove(slot);
      }
    }
  }

  /** Forgets sources and what their windows hold, giving nothing of it. @param sources  indexes; null: all */
  forget(sources: readonly number[] | null): void {
    for (let slot = 0; slot < this.#slots.end; slot++) {
      const source = this.#slots.sourceAt(slot);
      if (source < 0 || (sources !== null && !sources.includes(source))) continue;
      this.#options.observer?.restart(source);
      // A snapshot has the numbers of free slots, too.
      this.#slots.clear(slot);
      this.#slots.remove(slot);
    }
  }

  /** The lowest sequence number that a window still to come may carry: of an open cell, or of a reading that waits. */
  get openFrom(): number {
    let oldest = Number.POSITIVE_INFINITY;
    if (!this.#resampler && !this.#interpolator) return oldest;
    for (let slot = 0; slot < this.#slots.end; slot++) {
      if (this.#slots.sourceAt(slot) < 0) continue;
      const cell = this.#resampler?.openFrom(slot) ?? oldest;
      oldest = Math.min(oldest, cell, this.#interpolator?.openFrom(slot) ?? oldest);
    }
    return oldest;
  }

  /** Readings in a source's window, at most its size. */
  fill(source: number): number {
    const slot = this.#slots.find(source);
    return slot < 0 ? 0 : this.#ring.filled(slot);
  }

  /** Sources that have state. */
  get sources(): number {
    return this.#slots.count;
  }

  /** What windows are scaled by, with `normalize: zscore` or `minmax`. */
  get statistics(): Statistics {
    return this.#normalizer.statistics;
  }

  /** Keeps the statistics as they are: a version of a model and its scale belong together. */
  freezeStatistics(): void {
    this.#normalizer.freeze();
  }

  /** Everything that later readings build on. */
  snapshot(): Uint8Array {
    return encodeSnapshot(this.#fingerprint, this.#normalizer.state, this.#slots);
  }

  /**
   * Takes the state that a snapshot holds in place of its own.
   * @throws TidegateError SNAPSHOT_UNUSABLE when it is damaged or of another configuration; nothing is remembered then
   */
  restore(bytes: Uint8Array): void {
    const slots = this.#slots;
    try {
      const stream = decodeSnapshot(bytes, this.#fingerprint, this.#normalizer.state.length, slots);
      for (let slot = 0; slot < slots.end; slot++) {
        if (!this.#ring.isSound(slot) || this.#interpolator?.isSound(slot) === false)
          throw new TidegateError("SNAPSHOT_UNUSABLE", { reason: "its numbers make no sense" });
        // Arrival is told by a clock that starts with the machine: times of another boot do not compare.
        this.#heard.data[slot] = Number.NaN;
        this.#resampler?.forgetDue(slot);
      }
      this.#normalizer.restore(stream);
    } catch (thrown) {
      slots.reset();
      throw thrown;
    }
  }

  #slotOf(source: number): number {
    const slot = this.#slots.find(source);
    return slot >= 0 ? slot : this.#slots.add(source);
  }

  #clean(slot: number, sequence: number, ts: number, arrived: number, values: Float64Array): void {
    if (this.#cleaner.isDuplicate(slot, ts, values)) {
      this.counters.dropped.duplicate++;
      return;
    }
    const row = this.#row;
    for (let i = 0; i < row.length; i++) row[i] = i < values.length ? (values[i] as number) : Number.NaN;
    if (ts - (this.#rowTs.data[slot] as number) > this.#options.window.maxGap) this.#cleaner.restart(slot);
    this.#cleaner.apply(slot, ts, row);
    if (this.#interpolator) this.#interpolator.push(slot, sequence, ts, arrived, row);
    // Cells of a grid gather fields that come one by one; elsewhere a reading is whole or left out.
    else if (this.#resampler || this.#isWhole(row, this.#used)) this.#onRow(slot, sequence, ts, arrived, row);
    else this.counters.dropped.missing++;
  }

  /** Takes a clean reading. */
  #onRow = (slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): void => {
    const { dropped } = this.counters;
    if (this.#isPlain && !this.#isWhole(row, this.#columns)) {
      dropped.missing++;
      return;
    }
    if (ts - (this.#rowTs.data[slot] as number) > this.#options.window.maxGap) this.#restart(slot);
    this.#rowTs.data[slot] = ts;
    if (!this.#transformer.isIdle) this.#transformer.apply(slot, ts, row);
    if (this.#resampler) {
      if (!this.#resampler.push(slot, sequence, ts, arrived, row)) dropped.late++;
    } else if (this.#isPlain || this.#isWhole(row, this.#columns)) {
      this.#normalizer.observe(row, this.#columns);
      if (this.#append(slot, ts, row, this.#columns, true)) this.#give(slot, sequence, ts, arrived);
    } else dropped.transform++;
  };

  /** Takes a point of the grid. */
  #onPoint = (slot: number, sequence: number, ts: number, arrived: number, row: Float64Array): boolean => {
    if (!this.#isWhole(row, this.#own)) {
      this.counters.dropped.missing++;
      return false;
    }
    this.#normalizer.observe(row, this.#own);
    if (this.#append(slot, ts, row, this.#own, true)) this.#give(slot, sequence, ts, arrived);
    return true;
  };

  #onLost = (): void => {
    this.counters.dropped.missing++;
  };

  #give(slot: number, sequence: number, ts: number, arrived: number): void {
    if (this.#isSilent) return;
    const normalizer = this.#normalizer;
    if (normalizer.isScaling) {
      normalizer.refresh();
      this.#ring.copyScaled(slot, this.#window, normalizer.origins, normalizer.factors);
    } else this.#ring.copy(slot, this.#window);
    this.counters.windows++;
    this.#options.emit(this.#slots.sourceAt(slot), sequence, ts, arrived, this.#window);
  }

  /** A pause was too long: what follows starts anew. */
  #restart(slot: number): void {
    this.#resampler?.finish(slot);
    this.#resampler?.restart(slot);
    this.#transformer.restart(slot);
    this.#restartWindow(slot);
  }

  #restartWindow(slot: number): void {
    this.#options.observer?.restart(this.#slots.sourceAt(slot));
    this.#ring.restart(slot);
  }

  /** Appends a row to the source's window. @returns whether a window is due */
  #append(slot: number, ts: number, row: Float64Array, columns: Int32Array, mayEnd: boolean): boolean {
    const { observer } = this.#options;
    if (observer) {
      this.#normalizer.refresh();
      this.#normalizer.scale(row, columns, this.#told);
      observer.row(this.#slots.sourceAt(slot), ts, this.#told);
    }
    return this.#ring.append(slot, row, columns, mayEnd);
  }

  /** Gives what a source still owes before it is forgotten. */
  #finish(slot: number): void {
    this.#interpolator?.abandon(slot);
    this.#resampler?.finish(slot);
  }

  #isWhole(row: Float64Array, columns: Int32Array): boolean {
    for (let i = 0; i < columns.length; i++) if (!isUsable(row[columns[i] as number] as number)) return false;
    return true;
  }
}

function columnsOf(outputs: readonly string[], fields: readonly string[]): Int32Array {
  const fault = (reason: string) => new TidegateError("PREPROCESS_INVALID", { what: "window", reason });
  if (outputs.length === 0) throw fault("it has no fields");
  return Int32Array.from(outputs, (name) => {
    const column = fields.indexOf(name);
    if (column === -1) throw fault(`there is no field ${name} (there are ${fields.join(", ")})`);
    return column;
  });
}
