import { deserialize, serialize } from "node:v8";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { readingFlags } from "../base/frame.ts";
import { Cleaner, type CleanOptions, type CleanState } from "./clean.ts";
import { createGap, type GapState, interpolate } from "./interpolate.ts";
import { createStatistics, normalize, observe, type Statistics } from "./normalize.ts";
import { type CellState, createCell, resample } from "./resample.ts";
import { Transformer, type TransformState, type TransformStep } from "./transform.ts";
import { createWindow, slide, type WindowState } from "./window.ts";

export type PipelineOptions = {
  readonly stream: {
    readonly clean: CleanOptions;
    readonly transform: readonly TransformStep[];
    readonly every?: number | undefined;
    readonly normalize: "model" | "zscore" | "minmax" | "none";
  };
  readonly fields: readonly string[];
  /** The window's columns, by name, in the model's order. */
  readonly outputs: readonly string[];
  /** `maxGap` in ms. */
  readonly window: { readonly size: number; readonly hop: number; readonly maxGap: number };
  /** A source that sent nothing for so long is forgotten, ms. */
  readonly idleExpiryMs?: number;
  /** `window`: size x outputs, oldest reading first, valid during the call only. */
  emit(source: number, sequence: number, ts: number, arrived: number, window: Float32Array): void;
};

type SourceState = {
  window: WindowState;
  clean: CleanState;
  gap: GapState;
  cell: CellState;
  transform: TransformState;
  arrived: number;
};

const snapshotFormat = 1;
const dayMs = 86_400_000;

/**
 * A stream's readings to windows: clean, transform, resample, window, normalise, each source for itself. It knows no
 * clock: the same readings in the same order give the same windows, which is what recovery builds on.
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #cleaner: Cleaner;
  readonly #transformer: Transformer;
  readonly #columns: readonly number[];
  readonly #isPlain: boolean;
  readonly #scaled: Float32Array;
  #row: Float64Array;
  #sources: (SourceState | null)[] = [];
  #statistics: Statistics;
  /** What did not reach a window, by reason. */
  readonly counters = { dropped: { late: 0, missing: 0, range: 0, outlier: 0, duplicate: 0 }, held: 0, windows: 0 };

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(options: PipelineOptions) {
    this.#options = options;
    const { stream, fields, outputs, window } = options;
    this.#cleaner = new Cleaner(fields, stream.clean);
    this.#transformer = new Transformer(fields, stream.transform);
    this.#columns = outputs.map((name) => {
      const column = this.#transformer.fields.indexOf(name);
      if (column === -1)
        throw new TidegateError("PREPROCESS_INVALID", { what: "window", reason: `there is no field ${name}` });
      return column;
    });
    this.#isPlain = this.#cleaner.isIdle && this.#transformer.isIdle && stream.every === undefined;
    this.#row = new Float64Array(this.#transformer.fields.length);
    this.#statistics = createStatistics(outputs.length);
    this.#scaled = new Float32Array(window.size * outputs.length);
  }

  /** Takes one reading; calls `emit` for each window that it completes. */
  push(source: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void {
    if ((flags & readingFlags.late) !== 0) {
      this.counters.dropped.late++;
      return;
    }
    const state = this.#sources[source] ?? this.#open(source);
    state.arrived = arrived;
    if (this.#isPlain) {
      this.#slide(source, state, sequence, ts, arrived, values);
      return;
    }
    const { stream, window } = this.#options;
    const clean = values.slice();
    const { dropped } = this.counters;
    const marks = { range: 0, outlier: 0, duplicate: 0, held: 0 };
    const isNew = this.#cleaner.apply(state.clean, ts, clean, marks);
    dropped.range += marks.range;
    dropped.outlier += marks.outlier;
    dropped.duplicate += marks.duplicate;
    this.counters.held += marks.held;
    if (!isNew) return;
    const transformed = (at: number, time: number, arrival: number, row: Float64Array) => {
      const wide = this.#row;
      wide.fill(Number.NaN);
      wide.set(row);
      this.#transformer.apply(state.transform, time, wide);
      this.#slide(source, state, at, time, arrival, wide);
    };
    const gridded =
      stream.every === undefined
        ? transformed
        : (at: number, time: number, arrival: number, row: Float64Array) =>
            resample(state.cell, at, time, arrival, row, stream.every ?? 1, window.maxGap, transformed);
    if (stream.clean.missing !== "linear") gridded(sequence, ts, arrived, clean);
    else dropped.missing += interpolate(state.gap, sequence, ts, arrived, clean, stream.clean.missingLimit, gridded);
  }

  #slide(source: number, state: SourceState, sequence: number, ts: number, arrived: number, row: Float64Array): void {
    const { window, stream, emit } = this.#options;
    const columns = this.#columns;
    for (let i = 0; i < columns.length; i++) {
      if (Number.isNaN(row[columns[i] as number] as number)) {
        this.counters.dropped.missing++;
        return;
      }
    }
    const scaling = stream.normalize;
    const isScaled = scaling === "zscore" || scaling === "minmax";
    if (isScaled)
      observe(
        this.#statistics,
        Float64Array.from(columns, (column) => row[column] as number),
      );
    const found = slide(state.window, ts, row, columns, window.size, window.hop, window.maxGap);
    if (found === null) return;
    this.counters.windows++;
    if (isScaled) {
      this.#scaled.set(found);
      normalize(this.#scaled, columns.length, scaling, this.#statistics);
      emit(source, sequence, ts, arrived, this.#scaled);
    } else emit(source, sequence, ts, arrived, found);
  }

  #open(source: number): SourceState {
    const { window, fields } = this.#options;
    const width = fields.length;
    while (this.#sources.length < source) this.#sources.push(null);
    const state: SourceState = {
      window: createWindow(window.size, this.#columns.length),
      clean: this.#cleaner.create(width),
      gap: createGap(width),
      cell: createCell(width),
      transform: this.#transformer.create(),
      arrived: 0,
    };
    this.#sources[source] = state;
    return state;
  }

  /** Forgets sources that have been idle for long. @param now  monotonic ms */
  tick(now: number): void {
    const { idleExpiryMs = Math.max(dayMs, 2 * this.#options.window.maxGap) } = this.#options;
    for (let i = 0; i < this.#sources.length; i++) {
      const state = this.#sources[i];
      if (state && now - state.arrived > idleExpiryMs) this.#sources[i] = null;
    }
  }

  /** Readings in a source's window. */
  fill(source: number): number {
    return this.#sources[source]?.window.count ?? 0;
  }

  /** Everything that later readings build on. */
  snapshot(): Uint8Array {
    return serialize({
      format: snapshotFormat,
      shape: this.#shape,
      sources: this.#sources,
      statistics: this.#statistics,
    });
  }

  /** @throws TidegateError SNAPSHOT_UNUSABLE when it is of another configuration */
  restore(bytes: Uint8Array): void {
    let saved: { format: number; shape: string; sources: (SourceState | null)[]; statistics: Statistics };
    try {
      saved = deserialize(bytes);
    } catch (thrown) {
      throw new TidegateError("SNAPSHOT_UNUSABLE", { reason: reasonOf(thrown) }, { cause: thrown });
    }
    if (saved.format !== snapshotFormat || saved.shape !== this.#shape)
      throw new TidegateError("SNAPSHOT_UNUSABLE", { reason: "it belongs to another configuration of the stream" });
    this.#sources = saved.sources;
    this.#statistics = saved.statistics;
    // Monotonic times of another boot do not compare: idleness is counted anew.
    for (const state of this.#sources) if (state) state.arrived = Number.POSITIVE_INFINITY;
  }

  get #shape(): string {
    const { stream, fields, outputs, window } = this.#options;
    return JSON.stringify([stream.clean, stream.transform, stream.every, stream.normalize, fields, outputs, window]);
  }
}
