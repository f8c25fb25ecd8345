import { sizeOf, type Tensor, type TensorType, tensor } from "../base/tensor.ts";
import { bytesOfType } from "./element-type.ts";
import { float16Bits, viewOf } from "./tensor-proto.ts";

/**
 * A tensor that nearly every model takes: floats are spread evenly over (0, 1), integers are 0 (a valid index, label and
 * length), booleans false, texts empty.
 */
export function sampleTensor(type: TensorType, dims: readonly number[]): Tensor {
  const length = sizeOf(dims);
  // The golden ratio's multiples modulo 1: no two near each other, the same ones every time.
  const value = (index: number): number => ((index + 1) * 0.6180339887498949) % 1;
  switch (type) {
    case "float32":
      return tensor(
        type,
        dims,
        Float32Array.from({ length }, (_, index) => value(index)),
      );
    case "float64":
      return tensor(
        type,
        dims,
        Float64Array.from({ length }, (_, index) => value(index)),
      );
    case "float16":
      return tensor(
        type,
        dims,
        Uint16Array.from({ length }, (_, index) => float16Bits(value(index))),
      );
    case "string":
      return tensor(type, dims, Array<string>(length).fill(""));
    default:
      return tensor(type, dims, viewOf(type, new ArrayBuffer(length * bytesOfType(type))) as never);
  }
}
