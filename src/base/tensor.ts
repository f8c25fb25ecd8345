import { TidegateError } from "./errors.ts";

/** Element types that cross the border to a model, by ONNX name. float16 travels as its raw 16 bits. */
export type TensorData = {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
  string: string[];
};

export type TensorType = keyof TensorData;

/** A dense row-major tensor. A plain object, so that it crosses thread and process borders as it is. */
export type Tensor<T extends TensorType = TensorType> = {
  [K in T]: { readonly type: K; readonly dims: readonly number[]; readonly data: TensorData[K] };
}[T];

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/**
 * Makes a tensor, checking that the data fill the shape.
 * @throws TidegateError SHAPE_MISMATCH
 */
export function tensor<T extends TensorType>(type: T, dims: readonly number[], data: TensorData[T]): Tensor<T> {
  if (data.length !== sizeOf(dims)) {
    throw new TidegateError("SHAPE_MISMATCH", {
      what: `${type} tensor`,
      expected: `${sizeOf(dims)} values for [${dims.join(", ")}]`,
      actual: `${data.length} values`,
    });
  }
  return { type, dims, data } as Tensor<T>;
}
