import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";

/** How the values of one column lay when the model was trained: kept with the model, so that later ones can be compared. */
export type DriftColumn = {
  readonly name: string;
  /** Inner quantiles, ascending and distinct: bin i holds what is above edge i - 1, up to edge i. */
  readonly edges: readonly number[];
  /** Share of the training slice in each bin, one more than there are edges. */
  readonly shares: readonly number[];
};

export type Drift = {
  readonly name: string;
  /** Population stability index: below 0.1 is little, above 0.25 much. */
  readonly psi: number;
  /** Kolmogorov and Smirnov's distance of the two distributions at the edges, 0 to 1. */
  readonly ks: number;
  readonly samples: number;
};

/** Index from which on a column has drifted; the customary limit. */
export const driftLimit = 0.25;
/** What an empty bin counts as: its logarithm must be finite. */
const leastShare = 1e-4;
const defaultBins = 10;

/** Describes a column by quantiles of the training slice. Values that are no numbers are left out. */
export function driftColumn(name: string, values: ArrayLike<number>, bins = defaultBins): DriftColumn {
  const sorted = Float64Array.from(values)
    .filter((value) => !Number.isNaN(value))
    .sort();
  const edges = Array.from({ length: bins - 1 }, (_, i) => quantile(sorted, (i + 1) / bins));
  // A column that takes few values has few bins.
  const distinct = edges.filter((edge, i) => i === 0 || edge > (edges[i - 1] as number));
  return { name, edges: distinct, shares: sharesOf(distinct, sorted) };
}

/**
 * How far values have moved from where they lay.
 * @see Siddiqi 2006, "Credit Risk Scorecards" (the index); Kolmogorov 1933 (the distance)
 */
export function driftOf({ name, edges, shares }: DriftColumn, values: ArrayLike<number>): Drift {
  const seen = Float64Array.from(values).filter((value) => !Number.isNaN(value));
  const now = sharesOf(edges, seen);
  let psi = 0;
  let ks = 0;
  let before = 0;
  let after = 0;
  for (const [bin, share] of shares.entries()) {
    const old = Math.max(leastShare, share);
    const fresh = Math.max(leastShare, now[bin] ?? 0);
    psi += (fresh - old) * Math.log(fresh / old);
    before += share;
    after += now[bin] ?? 0;
    ks = Math.max(ks, Math.abs(before - after));
  }
  return { name, psi, ks, samples: seen.length };
}

/** The newest reading of each example, column by column: what drift of the input is measured on. */
export function inputColumns(
  card: Card,
  data: DataSet,
  examples: Int32Array,
): { name: string; values: Float64Array }[] {
  const input = card.inputs.find(({ from }) => from === "window");
  const rows = input && data.inputs[input.name];
  const tensor = rows && (data.data[rows.data] as Tensor);
  if (!rows || !tensor) return [];
  const length = sizeOf(rows.dims) * (rows.span ?? 1);
  const step = sizeOf(rows.dims);
  return card.fields.map(({ name }, column) => ({
    name,
    values: Float64Array.from(examples, (example) => {
      const from = ((data.first[example] as number) + (rows.offset ?? 0)) * step;
      return Number(tensor.data[from + length - card.fields.length + column]);
    }),
  }));
}

/** Columns of what a model saw, and of what its losses were: those of a later day are measured beside them. */
export type DriftReference = readonly DriftColumn[];

/** Name of the column of losses: no field has a name with a space. */
export const lossColumn = "loss of an example";

/**
 * Describes what a model sees and how well it does.
 * @param losses  one per example that no choice was made on
 */
export const referenceOf = (card: Card, data: DataSet, examples: Int32Array, losses?: Float64Array): DriftReference => [
  ...inputColumns(card, data, examples).map(({ name, values }) => driftColumn(name, values)),
  ...(losses ? [driftColumn(lossColumn, losses)] : []),
];

/** How far the columns have moved from where they lay. Columns that either side lacks are left out. */
export function measureDrift(
  reference: DriftReference,
  card: Card,
  data: DataSet,
  examples: Int32Array,
  losses?: Float64Array,
): Drift[] {
  const columns = [...inputColumns(card, data, examples), ...(losses ? [{ name: lossColumn, values: losses }] : [])];
  return columns.flatMap(({ name, values }) => {
    const known = reference.find((column) => column.name === name);
    return known ? [driftOf(known, values)] : [];
  });
}

/** Between two values in proportion, as most do (type 7 of Hyndman and Fan). NaN of nothing. */
export function quantile(sorted: Float64Array, share: number): number {
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const below = sorted[low] ?? Number.NaN;
  const above = sorted[Math.min(low + 1, sorted.length - 1)] ?? Number.NaN;
  return below + (at - low) * (above - below);
}

function sharesOf(edges: readonly number[], values: Float64Array): number[] {
  const counts = new Array<number>(edges.length + 1).fill(0);
  for (const value of values) {
    const above = edges.findIndex((edge) => value <= edge);
    const bin = above < 0 ? edges.length : above;
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts.map((count) => (values.length === 0 ? 0 : count / values.length));
}
