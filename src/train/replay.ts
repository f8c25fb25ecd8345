import { TidegateError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { sizeOf, type Tensor, type TensorData } from "../base/tensor.ts";
import type { DataSet, Split } from "./data-set.ts";
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
  if (JSON.stringify([newer.inputs, newer.target]) !== JSON.stringify([older.inputs, older.target]))
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the kept examples",
      reason: "they were made for a model with other inputs or targets",
      remedy: "Begin a new reservoir for this model.",
    });
  const count = newer.first.length;
  const rows = sharedRows(newer);
  const sources = newer.source.reduce((most, source) => Math.max(most, source + 1), 0);
  const places = newer.place.reduce((most, place) => Math.max(most, place), 0) + newer.reach;
  const sum = (weights: Float32Array): number => weights.reduce((total, weight) => total + weight, 0);
  const trained = split.train.reduce((total, example) => total + (newer.weights[example] as number), 0);
  const factor = (trained * share) / ((1 - share) * (sum(older.weights) || 1));
  const both = {
    ...newer,
    data: Object.fromEntries(
      Object.entries(newer.data).map(([name, each]) => [name, joinedRows(each, older.data[name] as Tensor)]),
    ),
    first: joined(
      newer.first,
      older.first.map((first) => first + rows),
    ),
    place: joined(
      newer.place,
      older.place.map((place) => place + places),
    ),
    weights: joined(
      newer.weights,
      older.weights.map((weight) => weight * factor),
    ),
    source: joined(
      newer.source,
      older.source.map((source) => source + sources),
    ),
    ts: joined(newer.ts, older.ts),
    marked: joined(newer.marked, older.marked),
  };
  const { from, readings, streams } = newer.manifest;
  const data = withManifest(both, `${from}, with replay`, readings + older.manifest.readings, [
    ...streams,
    ...older.manifest.streams,
  ]);
  const old = Int32Array.from(older.first, (_, i) => count + i);
  return { data, split: { ...split, train: joined(split.train, old) } };
}

/** One array behind the other. */
function joined<T extends Numbers>(a: T, b: T): T {
  const both = emptyLike(a, a.length + b.length);
  both.set(a as never);
  both.set(b as never, a.length);
  return both as unknown as T;
}

/** Rows that an example reads, from its first on. */
function extentOf({ inputs, target }: DataSet): number {
  const reads = [...Object.values(inputs), ...(target && "data" in target ? [target] : [])];
  return Math.max(1, ...reads.map(({ offset = 0, span = 1 }) => offset + span));
}

function sharedRows({ data }: DataSet): number {
  return Math.max(0, ...Object.values(data).map(({ dims }) => dims[0] ?? 0));
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

function joinedRows(a: Tensor, b: Tensor): Tensor {
  const dims = [(a.dims[0] ?? 0) + (b.dims[0] ?? 0), ...a.dims.slice(1)];
  if (a.type === "string" || b.type === "string")
    return { type: "string", dims, data: [...(a.data as string[]), ...(b.data as string[])] };
  return { ...a, dims, data: joined(a.data, b.data as typeof a.data) } as Tensor;
}

type Numbers = Exclude<TensorData[keyof TensorData], string[]>;

const emptyLike = (like: Numbers, length: number): Float32Array =>
  new (like.constructor as Float32ArrayConstructor)(length);
