import { gunzipSync } from "node:zlib";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, type TensorData, tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";
import { withManifest } from "./manifest.ts";
import { checkTargets, targetFault, targetRows, targetTensor } from "./targets.ts";

type IdxType = "uint8" | "int8" | "int16" | "int32" | "float32" | "float64";

/** Element types by their code, and how one is read; numbers are big-endian. */
const elements: Readonly<Record<number, { type: IdxType; bytes: number; read(view: DataView, at: number): number }>> = {
  8: { type: "uint8", bytes: 1, read: (view, at) => view.getUint8(at) },
  9: { type: "int8", bytes: 1, read: (view, at) => view.getInt8(at) },
  11: { type: "int16", bytes: 2, read: (view, at) => view.getInt16(at) },
  12: { type: "int32", bytes: 4, read: (view, at) => view.getInt32(at) },
  13: { type: "float32", bytes: 4, read: (view, at) => view.getFloat32(at) },
  14: { type: "float64", bytes: 8, read: (view, at) => view.getFloat64(at) },
};

const arrays = {
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

const maxBytes = 2 ** 31;

/**
 * Reads a file of the MNIST kind: IDX, as it is or compressed by gzip.
 * @param file  how errors call it
 * @throws TidegateError DATA_UNUSABLE
 * @see LeCun, Cortes and Burges, "The MNIST database of handwritten digits"
 */
export function parseIdx(bytes: Uint8Array, file: string): Tensor<IdxType> {
  const raw = bytes[0] === 0x1f && bytes[1] === 0x8b ? unpacked(bytes, file) : bytes;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const element = raw.length >= 4 && view.getUint16(0) === 0 ? elements[view.getUint8(2)] : undefined;
  const rank = element ? view.getUint8(3) : 0;
  const head = 4 + 4 * rank;
  if (!element || rank === 0 || raw.length < head) throw unusable(file, "it does not begin as an IDX file does");
  const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const { type, bytes: width, read } = element;
  const size = sizeOf(dims);
  if (raw.length !== head + size * width)
    throw unusable(file, `it has ${raw.length - head} bytes for [${dims.join(", ")}] of ${type}, not ${size * width}`);
  const data: TensorData[IdxType] = new arrays[type](size);
  if (data instanceof Uint8Array) data.set(raw.subarray(head));
  else for (let i = 0; i < size; i++) data[i] = read(view, head + i * width);
  return tensor(type, dims, data as never);
}

function unpacked(bytes: Uint8Array, file: string): Uint8Array {
  try {
    return new Uint8Array(gunzipSync(bytes, { maxOutputLength: maxBytes }));
  } catch (thrown) {
    throw unusable(file, `it cannot be unpacked: ${reasonOf(thrown)}`);
  }
}

/** Images (or other things of a fixed shape), [count, …], and what is on them. */
export type Labelled = { readonly images: Tensor; readonly labels: Tensor; readonly file: string };

/**
 * Images with labels to examples. They keep their element type; the model's graph scales them.
 * @param official  a test set that comes with them: it stays the test set
 * @throws TidegateError DATA_UNUSABLE
 */
export function imageData(card: Card, given: Labelled, official?: Labelled): DataSet {
  const input = card.inputs.find(({ from }) => from === "media" || from === "window");
  const inner = input?.dims.slice(1).map(Number);
  if (!input || !inner?.every((dim) => dim > 0))
    throw unusable(given.file, "the model has no input whose shape is fixed, but for the batch");
  const sets = official ? [given, official] : [given];
  const labels = sets.flatMap((set) => [...checked(card, set, sizeOf(inner))]);
  checkTargets(card, given.file, labels.length, Float64Array.from(labels));
  const count = labels.length;
  const testCount = official?.images.dims[0] ?? 0;
  const images = joined(sets.map(({ images }) => images));
  const numbers = Int32Array.from({ length: count }, (_, i) => i);
  const data = { ...images, dims: [count, ...inner] } as Tensor;
  const targets = targetTensor(card, Float64Array.from(labels), 1);
  return withManifest(
    {
      data: { images: data, targets },
      inputs: { [input.name]: { data: "images", type: data.type, dims: inner } },
      target: targetRows("targets", targets),
      first: numbers,
      place: numbers,
      reach: 1,
      weights: new Float32Array(count).fill(1),
      source: new Int32Array(count),
      ts: new Float64Array(count).fill(Number.NaN),
      marked: new Uint8Array(count),
      ...(official ? { fixedTest: numbers.slice(count - testCount) } : {}),
    },
    sets.map(({ file }) => file).join(", "),
    count,
    [],
  );
}

/** The labels of a set, each of which is one. */
function* checked(card: Card, { images, labels, file }: Labelled, size: number): Generator<number> {
  const [count = 0] = images.dims;
  const [labelled = 0] = labels.dims;
  if (labels.dims.length !== 1 || labelled !== count)
    throw unusable(file, `it has ${count} images and labels of shape [${labels.dims.join(", ")}]`);
  if (sizeOf(images.dims.slice(1)) !== size)
    throw unusable(file, `images are [${images.dims.slice(1).join(", ")}], the model takes ${size} numbers each`);
  for (const [i, raw] of (labels.data as Uint8Array).entries()) {
    const label = Number(raw);
    const fault = targetFault(card, label);
    if (fault) throw unusable(file, `image ${i}: ${fault}`);
    yield label;
  }
}

/** Tensors of one type, one after the other; one alone is taken in place. */
function joined(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (!first || first.type === "string") throw unusable("the data", "images are numbers");
  if (tensors.length === 1) return first;
  if (tensors.some(({ type }) => type !== first.type)) throw unusable("the test set", `it is not of ${first.type}`);
  const length = tensors.reduce((sum, { data }) => sum + data.length, 0);
  const all = new (first.data.constructor as Float32ArrayConstructor)(length);
  let at = 0;
  for (const { data } of tensors) {
    all.set(data as Float32Array, at);
    at += data.length;
  }
  return { ...first, dims: [length], data: all } as Tensor;
}

const unusable = (what: string, reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what,
    reason,
    remedy: "Give IDX files of images and of labels, as many of one as of the other, that fit the model's card.",
  });
