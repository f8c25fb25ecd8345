import type { CleanOptions } from "./clean.ts";
import type { Normalization, Statistics } from "./normalize.ts";
import type { ResampleMethod } from "./resample.ts";
import type { TransformStep } from "./transform.ts";
import type { WindowOptions } from "./window.ts";

/** What a stream's configuration says about its way to windows. `StreamConfig` fits. */
export type PipelineConfig = {
  readonly clean: CleanOptions;
  readonly transform: readonly TransformStep[];
  /** Resample to this period, ms. */
  readonly every?: number | undefined;
  /** Mean when absent. */
  readonly resample?: ResampleMethod | undefined;
  readonly normalize: Normalization;
  /** 1,024 when absent. */
  readonly maxSources?: number | undefined;
};

/** Sees windows grow row by row: whoever keeps many of a source keeps each row once. */
export type RowObserver = {
  /**
   * A row enters the window of a source, before the window that it may complete is given.
   * @param ts  NaN where the row stands for no reading
   * @param values  as the window holds them; valid during the call only
   */
  row(source: number, ts: number, values: Float32Array): void;
  /** What follows of a source does not follow on what came before. */
  restart(source: number): void;
};

export type PipelineOptions = {
  readonly stream: PipelineConfig;
  /** Fields of a reading, in the order of its values. */
  readonly fields: readonly string[];
  /** The window's columns, by name, in the model's order: fields, or what `transform` makes of them. */
  readonly outputs: readonly string[];
  readonly window: WindowOptions;
  /** Statistics to scale by, frozen; absent: those of the readings that come. */
  readonly statistics?: Statistics;
  /** A source that sent nothing for so long is forgotten, ms. */
  readonly idleExpiryMs?: number;
  readonly observer?: RowObserver;
  /** Sequence, time and arrival of the window's newest reading; `window`: size x outputs, oldest first, valid during the call only. */
  emit(source: number, sequence: number, ts: number, arrived: number, window: Float32Array): void;
};
