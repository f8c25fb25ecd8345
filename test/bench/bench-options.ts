import type { Row } from "./measure.ts";

export type BenchOptions = {
  /** Pairs of runs, by turns; figures are medians. */
  readonly pairs: number;
  /** Messages of one run; absent: as many as the benchmark thinks right. */
  readonly messages?: number;
  /** Length of a paced run. */
  readonly seconds: number;
  /** Readings of a long run with the cloud away. */
  readonly readings?: number;
  /** One part of a benchmark that has several. */
  readonly only?: string;
  /** Told of each row as it is known. */
  say(row: Row): void;
};
