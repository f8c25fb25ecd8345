import type { TensorType } from "../base/tensor.ts";
import type { AttributeInput } from "./attribute.ts";
import { typeOfNumber } from "./element-type.ts";
import type { Dim, Knowledge, Shape } from "./value-info.ts";

/**
 * What is known of a node's outputs while a graph is being written: types by one table, shapes only where they are
 * plain (elementwise and broadcasting). The full answer comes from running the model: see shapes.ts.
 */
export function inferOutputs(
  opType: string,
  inputs: readonly Knowledge[],
  attributes: Readonly<Record<string, AttributeInput>>,
  outputs: number,
): Knowledge[] {
  const shape = shapeOfResult(opType, inputs);
  return Array.from({ length: outputs }, (_, index) => ({
    type: typeOfResult(opType, index, inputs, attributes),
    shape: index === 0 ? shape : undefined,
  }));
}

/** Operators whose result has a type of its own; all others give their first input's type. */
const fixedTypes: Readonly<Record<string, TensorType>> = Object.fromEntries([
  ..."Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not IsNaN IsInf".split(" ").map((op) => [op, "bool"]),
  ..."Shape Size ArgMax ArgMin NonZero StringSplit".split(" ").map((op) => [op, "int64"]),
]);

/** Second and further outputs that differ in type from the first. */
const laterTypes: Readonly<Record<string, readonly TensorType[]>> = {
  MaxPool: ["int64"],
  TopK: ["int64"],
  Dropout: ["bool"],
  Unique: ["int64", "int64", "int64"],
};

function typeOfResult(
  opType: string,
  index: number,
  inputs: readonly Knowledge[],
  attributes: Readonly<Record<string, AttributeInput>>,
): TensorType | undefined {
  const later = index > 0 ? laterTypes[opType]?.[index - 1] : undefined;
  if (later !== undefined) return later;
  switch (opType) {
    case "Cast":
      return typeof attributes.to === "number" ? typeOfNumber(attributes.to) : undefined;
    case "Where":
    case "OneHot":
      return inputs[opType === "Where" ? 1 : 2]?.type;
    // Their results come from a body, a list or an attribute.
    case "Loop":
    case "Scan":
    case "If":
    case "Constant":
    case "ConstantOfShape":
    case "RandomNormal":
    case "RandomUniform":
    case "SequenceAt":
      return undefined;
    default:
      return fixedTypes[opType] ?? inputs[0]?.type;
  }
}

const sameShape = new Set(
  (
    "Abs Acos Asin Atan Cast CastLike Ceil Clip Cos Dropout Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN " +
    "LeakyRelu Log LogSoftmax Neg Not Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Tan Tanh"
  ).split(" "),
);

const broadcasting = new Set(
  "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Where Xor".split(" "),
);

function shapeOfResult(opType: string, inputs: readonly Knowledge[]): Shape | undefined {
  if (sameShape.has(opType)) return inputs[0]?.shape;
  if (opType === "Shape") return inputs[0]?.shape && [inputs[0].shape.length];
  if (!broadcasting.has(opType)) return undefined;
  return inputs.map(({ shape }) => shape).reduce((a, b) => a && b && broadcast(a, b));
}

/** The shape that two shapes broadcast to; a dimension that cannot be told is null. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis): Dim => {
    const left = axis < rank - a.length ? 1 : (a[axis - rank + a.length] ?? null);
    const right = axis < rank - b.length ? 1 : (b[axis - rank + b.length] ?? null);
    if (left === 1 || left === right) return right;
    if (right === 1) return left;
    // A size above 1 wins over a symbol: the symbol must be that size or 1.
    if (typeof left === "number") return left;
    return typeof right === "number" ? right : null;
  });
}
