import type { Tensor, TensorType } from "../base/tensor.ts";
import type { DataSet } from "./data-set.ts";
import { bytesOf } from "./manifest.ts";

type Lists = Pick<DataSet, "first" | "place" | "weights" | "source" | "ts" | "marked"> & { fixedTest?: Int32Array };

/** A data set without its numbers: what has to be known to make room for them. */
export type DataHead = Omit<DataSet, "data" | keyof Lists> & {
  readonly tensors: readonly { readonly name: string; readonly type: TensorType; readonly dims: readonly number[] }[];
  readonly lists: readonly { readonly name: keyof Lists; readonly length: number }[];
};

/** Bytes of one of the arrays of a data set, from an offset on. `array` counts tensors, then lists. */
export type DataPart = { readonly array: number; readonly offset: number; readonly bytes: Uint8Array };

/** What goes over at once: memory for what waits in between is bounded by it. */
const partBytes = 1 << 20;

const listTypes = {
  first: Int32Array,
  place: Int32Array,
  source: Int32Array,
  fixedTest: Int32Array,
  weights: Float32Array,
  ts: Float64Array,
  marked: Uint8Array,
} as const;
const listNames = Object.keys(listTypes) as (keyof Lists)[];

const tensorTypes: { readonly [T in TensorType]?: { new (length: number): ArrayBufferView & ArrayLike<unknown> } } = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** Takes a data set apart for another process: its head, then its bytes in bounded parts. */
export function takeApart(set: DataSet): { head: DataHead; parts: Iterable<DataPart> } {
  const { data, first, place, weights, source, ts, marked, fixedTest, ...rest } = set;
  const lists: Partial<Lists> = { first, place, weights, source, ts, marked, ...(fixedTest ? { fixedTest } : {}) };
  const given = listNames.filter((name) => lists[name] !== undefined);
  const names = Object.keys(data);
  const arrays = [
    ...names.map((name) => bytesOf(data[name] as Tensor)),
    ...given.map((name) => viewOf(lists[name] as Int32Array)),
  ];
  const head: DataHead = {
    ...rest,
    tensors: names.map((name) => ({ name, type: (data[name] as Tensor).type, dims: (data[name] as Tensor).dims })),
    lists: given.map((name) => ({ name, length: (lists[name] as Int32Array).length })),
  };
  return { head, parts: cut(arrays) };
}

function* cut(arrays: readonly Uint8Array[]): Generator<DataPart> {
  for (const [array, bytes] of arrays.entries())
    for (let offset = 0; offset < bytes.length; offset += partBytes)
      yield { array, offset, bytes: bytes.subarray(offset, offset + partBytes) };
}

/** Puts together what `takeApart` took apart, each number copied once. */
export class DataAssembly {
  readonly #head: DataHead;
  readonly #tensors: readonly Tensor[];
  readonly #lists: Partial<Lists>;
  readonly #views: readonly Uint8Array[];

  constructor(head: DataHead) {
    this.#head = head;
    this.#tensors = head.tensors.map(({ type, dims }) => {
      const Numbers = tensorTypes[type] ?? Float32Array;
      return { type, dims, data: new Numbers(dims.reduce((a, b) => a * b, 1)) } as Tensor;
    });
    this.#lists = Object.fromEntries(head.lists.map(({ name, length }) => [name, new listTypes[name](length)]));
    const lists = head.lists.map(({ name }) => viewOf(this.#lists[name] as Int32Array));
    this.#views = [...this.#tensors.map(bytesOf), ...lists];
  }

  /** Of each array, in the order of `takeApart`. */
  get byteLengths(): number[] {
    return this.#views.map(({ length }) => length);
  }

  add({ array, offset, bytes }: DataPart): void {
    this.#views[array]?.set(bytes, offset);
  }

  finish(): DataSet {
    const { tensors, lists: _lists, ...rest } = this.#head;
    const data = Object.fromEntries(tensors.map(({ name }, index) => [name, this.#tensors[index] as Tensor]));
    return { ...rest, ...this.#lists, data } as DataSet;
  }
}

const viewOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
