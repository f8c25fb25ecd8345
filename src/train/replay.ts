import { TidegateError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { DataSet, Split } from "./data-set.ts";
import { emptyLike, isAlike, joinData, joined } from "./join-data.ts";
import { withManifest } from "./manifest.ts";

const dayMs = 86_400_000;

/**
 * Chooses examples to be kept against forgetting: as many of each source and day as there is room for, at random by the seed.
 * Known events stay before all others.
 */
export function reservoir(data: DataSet, examples: Int32Array, capacity: number, seed: number): Int32Array {
  const random = seededRandom(seed);
  const ranked = Array.from(examples, (example) => ({ example, rank: random() - (data.marked[example] ? 1 : 0) }));
  const strata = Map.groupBy(
    ranked.sort((a, b) => a.rank - b.rank || a.example - b.example),
    ({ example }) => `${data.source[example]}/${Math.floor((data.ts[example] as number) / dayMs)}`,
  );
  // Round by round, so that a stratum that is short leaves its room to the others.
  const rounds = [...strata.values()].flatMap((stratum) => stratum.map((each, round) => ({ ...each, round })));
  rounds.sort((a, b) => a.round - b.round || a.rank - b.rank || a.example - b.example);
  return Int32Array.from(rounds.slice(0, Math.max(0, capacity)), ({ example }) => example).sort();
}

/**
 * Known events with some windows beside each: frozen by `takeExamples`, they are what every later version is tried on.
 * @param beside  windows before and behind an event, of the same source
 */
export function eventExamples(data: DataSet, examples: Int32Array, beside = 1): Int32Array {
  return examples.filter((_, i) => {
    for (let at = Math.max(0, i - beside); at <= Math.min(examples.length - 1, i + beside); at++) {
      const other = examples[at] as number;
      if (data.marked[other] && data.source[other] === data.source[examples[i] as number]) return true;
    }
    return false;
  });
}

/** A data set of these examples alone (ascending), with the rows that they read and no others. */
export function takeExamples(data: DataSet, examples: Int32Array): DataSet {
  const extent = extentOf(data);
  const rows: number[] = [];
  let end = -1;
  const first = Int32Array.from(examples, (example) => {
    const from = data.first[example] as number;
    for (let row = Math.max(from, end); row < from + extent; row++) rows.push(row);
    end = Math.max(end, from + extent);
    return rows.length - (end - from);
  });
  const official = new Set(data.fixedTest);
  const fixed = [...examples.keys()].filter((index) => official.has(examples[index] as number));
  const taken = {
    data: Object.fromEntries(Object.entries(data.data).map(([name, each]) => [name, rowsOf(each, rows)])),
    inputs: data.inputs,
    ...(data.target ? { target: data.target } : {}),
    first,
    place: Int32Array.from(examples, (example) => data.place[example] as number),
    reach: data.reach,
    weights: Float32Array.from(examples, (example) => data.weights[example] as number),
    source: Int32Array.from(examples, (example) => data.source[example] as number),
    ts: Float64Array.from(examples, (example) => data.ts[example] as number),
    marked: Uint8Array.from(examples, (example) => data.marked[example] as number),
    ...(data.fixedTest ? { fixedTest: Int32Array.from(fixed) } : {}),
  };
  const { from, readings, streams } = data.manifest;
  return withManifest(taken, from, readings, streams);
}

/**
 * Mixes kept examples of old into the training part of newer data. They train and do nothing else.
 *
 * @param share  what the old examples weigh, of all that trains: 0 to below 1
 * @throws TidegateError DATA_UNUSABLE when the two were made for different models
 */
export function withReplay(
  newer: DataSet,
  split: Split,
  older: DataSet,
  share: number,
): { data: DataSet; split: Split } {
  if (!isAlike(newer, older))
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the kept examples",
      reason: "they were made for a model with other inputs or targets",
      remedy: "Begin a new reservoir for this model.",
    });
  const count = newer.first.length;
  const sum = (weights: Float32Array): number => weights.reduce((total, weight) => total + weight, 0);
  const trained = split.train.reduce((total, example) => total + (newer.weights[example] as number), 0);
  const factor = (trained * share) / ((1 - share) * (sum(older.weights) || 1));
  const weighed = { ...older, weights: older.weights.map((weight) => weight * factor) };
  const data = joinData(newer, weighed, `${newer.manifest.from}, with replay`);
  const old = Int32Array.from(older.first, (_, i) => count + i);
  return { data, split: { ...split, train: joined(split.train, old) } };
}

/** Rows that an example reads, from its first on. */
function extentOf({ inputs, target }: DataSet): number {
  const reads = [...Object.values(inputs), ...(target && "data" in target ? [target] : [])];
  return Math.max(1, ...reads.map(({ offset = 0, span = 1 }) => offset + span));
}

function rowsOf(all: Tensor, rows: readonly number[]): Tensor {
  const width = sizeOf(all.dims.slice(1));
  const dims = [rows.length, ...all.dims.slice(1)];
  if (all.type === "string")
    return { ...all, dims, data: rows.flatMap((row) => all.data.slice(row * width, (row + 1) * width)) };
  const data = emptyLike(all.data, rows.length * width);
  rows.forEach((row, i) => {
    data.set(all.data.subarray(row * width, (row + 1) * width) as never, i * width);
  });
  return { ...all, dims, data } as Tensor;
}
