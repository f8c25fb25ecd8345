import { TidegateError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";

/**
 * ONNX's number for each element type that Tidegate computes with, and the bytes of one element (0: no fixed size).
 * ONNX knows more (bfloat16, complex, float8, 4-bit integers); they are read and written, but not looked into.
 * @see TensorProto.DataType in the ONNX IR specification
 */
const elementTypes = {
  float32: { number: 1, bytes: 4 },
  uint8: { number: 2, bytes: 1 },
  int8: { number: 3, bytes: 1 },
  uint16: { number: 4, bytes: 2 },
  int16: { number: 5, bytes: 2 },
  int32: { number: 6, bytes: 4 },
  int64: { number: 7, bytes: 8 },
  string: { number: 8, bytes: 0 },
  bool: { number: 9, bytes: 1 },
  float16: { number: 10, bytes: 2 },
  float64: { number: 11, bytes: 8 },
  uint32: { number: 12, bytes: 4 },
  uint64: { number: 13, bytes: 8 },
} as const satisfies Record<TensorType, { number: number; bytes: number }>;

const byNumber = new Map(
  Object.entries(elementTypes).map(([type, { number }]) => [number as number, type as TensorType] as const),
);

/** The number that stands for an element type in a file. */
export const numberOfType = (type: TensorType): number => elementTypes[type].number;

/** Bytes of one element; 0 for strings. */
export const bytesOfType = (type: TensorType): number => elementTypes[type].bytes;

/** The element type of a number, or undefined when Tidegate does not compute with it. */
export const typeOfNumber = (number: number): TensorType | undefined => byNumber.get(number);

/**
 * The element type of a number.
 * @throws TidegateError MODEL_UNSUPPORTED for types that Tidegate does not compute with
 */
export function requireType(number: number, what: string): TensorType {
  const type = byNumber.get(number);
  if (type === undefined) {
    throw new TidegateError("MODEL_UNSUPPORTED", { what, reason: `element type ${number} is not supported` });
  }
  return type;
}
