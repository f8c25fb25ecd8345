import type { Rows } from "../../src/autodiff/training-spec.ts";
import { type Tensor, tensor } from "../../src/base/tensor.ts";
import type { DataSet } from "../../src/train/data-set.ts";
import { withManifest } from "../../src/train/manifest.ts";

export type ExampleOptions = {
  readonly from: string;
  readonly data: Readonly<Record<string, Tensor>>;
  readonly inputs: Readonly<Record<string, Rows>>;
  readonly target: Rows;
  /** First row of each example. Default: each row is one. */
  readonly first?: Int32Array;
  /** Time of each example, ms UTC; absent: they have none. */
  readonly ts?: Float64Array;
  /** Rows that an example reaches over. Default 1. */
  readonly reach?: number;
  /** Examples of an official test set. */
  readonly fixedTest?: Int32Array;
};

/** A data set of examples that stand by themselves. */
export function examplesOf({ from, data, inputs, target, first, ts, reach = 1, fixedTest }: ExampleOptions): DataSet {
  const rows = Object.values(data)[0]?.dims[0] ?? 0;
  const starts = first ?? Int32Array.from({ length: rows }, (_, index) => index);
  const n = starts.length;
  const set = {
    data,
    inputs,
    target,
    first: starts,
    place: starts,
    reach,
    weights: new Float32Array(n).fill(1),
    source: new Int32Array(n),
    ts: ts ?? new Float64Array(n).fill(Number.NaN),
    marked: new Uint8Array(n),
    ...(fixedTest ? { fixedTest } : {}),
  };
  return withManifest(set, from, n, []);
}

/** Whole numbers from `from` up to but not including `to`. */
export const range = (from: number, to: number): Int32Array =>
  Int32Array.from({ length: to - from }, (_, index) => from + index);

/** A float32 tensor of rows. */
export const rowsOf = (rows: readonly (readonly number[])[], dims: readonly number[]): Tensor<"float32"> =>
  tensor("float32", [rows.length, ...dims], Float32Array.from(rows.flat()));
