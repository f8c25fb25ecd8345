import type { Rows } from "../autodiff/training-spec.ts";
import type { Tensor } from "../base/tensor.ts";

/**
 * Examples for training and evaluation, in memory: tensors of rows, and for each example the number of its first row.
 * Windows overlap, so rows are kept once and an example names where it begins.
 */
export type DataSet = {
  /** Tensors [rows, …dims] by name. */
  readonly data: Readonly<Record<string, Tensor>>;
  /** How each input of the model reads them. */
  readonly inputs: Readonly<Record<string, Rows>>;
  /** How the target is read; a value of the model when it reconstructs. Absent: examples without a target. */
  readonly target?: Rows | { readonly value: string };
  /** First row of each example; examples of one source stand together, in order of time. */
  readonly first: Int32Array;
  /**
   * Where each example stands among the readings of its source: two whose places are less than `reach` apart share
   * readings, in their inputs or targets.
   */
  readonly place: Int32Array;
  readonly reach: number;
  /** How much each example counts. */
  readonly weights: Float32Array;
  /** Number of the source of each example (0 where there are none), and the time of its newest reading, ms UTC; NaN: it has none. */
  readonly source: Int32Array;
  readonly ts: Float64Array;
  /** Examples that are known to hold an event (an operator's mark, a label): 1; they calibrate nothing. */
  readonly marked: Uint8Array;
  /** Numbers of the examples of an official test set: they are test, whatever the split. */
  readonly fixedTest?: Int32Array;
  readonly manifest: DataManifest;
};

/** What a data set was made from: equal manifests are equal data. */
export type DataManifest = {
  readonly from: string;
  readonly readings: number;
  readonly examples: number;
  /** SHA-256 over the tensors and the examples, hex. */
  readonly hash: string;
  /** Streams, sources and times, so that an erasure can tell whether it concerns this data. */
  readonly streams: readonly {
    readonly stream: string;
    readonly sources: readonly string[];
    readonly from: number;
    readonly to: number;
  }[];
};

/** Numbers of examples; the parts of one split have none in common. */
export type Split = {
  readonly train: Int32Array;
  /** Early stopping and schedules look at it. */
  readonly validation: Int32Array;
  /** Thresholds come from it. */
  readonly calibration: Int32Array;
  /** Nothing is chosen by it: candidate and active version are compared on it. */
  readonly test: Int32Array;
};
