import type { Tensor, TensorData } from "../base/tensor.ts";
import type { DataSet } from "./data-set.ts";
import { withManifest } from "./manifest.ts";

type Layout = Pick<DataSet, "inputs" | "target">;

/** Whether two data sets were made for models with the same inputs and targets. */
export const isAlike = (a: Layout, b: Layout): boolean =>
  JSON.stringify([a.inputs, a.target]) === JSON.stringify([b.inputs, b.target]);

/**
 * One data set behind another of the same layout: sources stay apart, and so do readings.
 * @param from  what both were made from, for the manifest
 */
export function joinData(a: DataSet, b: DataSet, from: string): DataSet {
  const rows = Math.max(0, ...Object.values(a.data).map(({ dims }) => dims[0] ?? 0));
  const sources = a.source.reduce((most, source) => Math.max(most, source + 1), 0);
  const places = a.place.reduce((most, place) => Math.max(most, place), 0) + Math.max(a.reach, b.reach);
  const set = {
    ...a,
    data: Object.fromEntries(
      Object.entries(a.data).map(([name, each]) => [name, joinedRows(each, b.data[name] as Tensor)]),
    ),
    first: joined(
      a.first,
      b.first.map((first) => first + rows),
    ),
    place: joined(
      a.place,
      b.place.map((place) => place + places),
    ),
    reach: Math.max(a.reach, b.reach),
    weights: joined(a.weights, b.weights),
    source: joined(
      a.source,
      b.source.map((source) => source + sources),
    ),
    ts: joined(a.ts, b.ts),
    marked: joined(a.marked, b.marked),
  };
  const streams = joinedStreams([...a.manifest.streams, ...b.manifest.streams]);
  return withManifest(set, from, a.manifest.readings + b.manifest.readings, streams);
}

/** Each stream once, with all of its sources and times. */
function joinedStreams(all: DataSet["manifest"]["streams"]): DataSet["manifest"]["streams"] {
  return [...Map.groupBy(all, ({ stream }) => stream)].map(([stream, parts]) => ({
    stream,
    sources: [...new Set(parts.flatMap(({ sources }) => sources))].sort(),
    from: Math.min(...parts.map(({ from }) => from)),
    to: Math.max(...parts.map(({ to }) => to)),
  }));
}

/** One array behind the other. */
export function joined<T extends Numbers>(a: T, b: T): T {
  const both = emptyLike(a, a.length + b.length);
  both.set(a as never);
  both.set(b as never, a.length);
  return both as unknown as T;
}

function joinedRows(a: Tensor, b: Tensor): Tensor {
  const dims = [(a.dims[0] ?? 0) + (b.dims[0] ?? 0), ...a.dims.slice(1)];
  if (a.type === "string" || b.type === "string")
    return { type: "string", dims, data: [...(a.data as string[]), ...(b.data as string[])] };
  return { ...a, dims, data: joined(a.data, b.data as typeof a.data) } as Tensor;
}

type Numbers = Exclude<TensorData[keyof TensorData], string[]>;

export const emptyLike = (like: Numbers, length: number): Float32Array =>
  new (like.constructor as Float32ArrayConstructor)(length);
