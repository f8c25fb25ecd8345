import type { Rows } from "../autodiff/training-spec.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, type TensorData, type TensorType, tensor } from "../base/tensor.ts";
import type { DataSet } from "./data-set.ts";

const arrays: { readonly [T in TensorType]?: (length: number) => TensorData[T] } = {
  float32: (length) => new Float32Array(length),
  float64: (length) => new Float64Array(length),
  int8: (length) => new Int8Array(length),
  int16: (length) => new Int16Array(length),
  int32: (length) => new Int32Array(length),
  int64: (length) => new BigInt64Array(length),
  uint8: (length) => new Uint8Array(length),
  uint16: (length) => new Uint16Array(length),
  uint32: (length) => new Uint32Array(length),
  bool: (length) => new Uint8Array(length),
};

/**
 * Reads examples out of a data set as a model takes them.
 *
 * @param type  element type that is wanted. Default: that of the data
 * @returns [examples, (span), …dims]
 * @throws TidegateError MODEL_UNSUPPORTED for element types that numbers do not become
 */
export function readRows(data: DataSet, rows: Rows, examples: Int32Array, type: TensorType = rows.type): Tensor {
  const { data: name, span, dims, offset = 0 } = rows;
  const source = data.data[name];
  const make = arrays[type];
  if (!source) throw new TidegateError("BUG", { detail: `the data set has no tensor ${name}` });
  if (!make || source.type === "string")
    throw new TidegateError("MODEL_UNSUPPORTED", { what: `data ${name}`, reason: `${source.type} as ${type}` });
  const width = sizeOf(dims);
  const length = width * (span ?? 1);
  const into = make(examples.length * length);
  const isPlain = !(source.data instanceof BigInt64Array || source.data instanceof BigUint64Array);
  examples.forEach((example, index) => {
    const from = ((data.first[example] as number) + offset) * width;
    const part = source.data.subarray(from, from + length) as Float32Array;
    const at = index * length;
    if (into instanceof BigInt64Array && isPlain) for (let i = 0; i < length; i++) into[at + i] = BigInt(part[i] ?? 0);
    else (into as Float32Array).set(part, at);
  });
  const shape = [examples.length, ...(span === undefined ? [] : [span]), ...dims];
  return tensor(type, shape, into as never);
}

/** The targets of examples, [examples, (span), …dims]; undefined when the model reconstructs, or is taught nothing. */
export function readTargets(data: DataSet, examples: Int32Array): Tensor | undefined {
  const { target } = data;
  return target && "data" in target ? readRows(data, target, examples) : undefined;
}
