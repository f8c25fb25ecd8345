import type { Attributes } from "../../src/onnx/graph-builder.ts";
import type { NaiveAttributes } from "./naive/operators.ts";

/** An input of an operator under test. */
export type Argument =
  | { readonly kind: "drawn"; readonly dims: readonly number[]; readonly from: number; readonly to: number }
  | {
      readonly kind: "real" | "int64" | "bool";
      readonly dims: readonly number[];
      readonly values: readonly number[];
      /** Given when it runs, not stored in the model. */
      readonly isFed?: boolean;
      /** Whether the gradient is asked for. */
      readonly isWanted?: boolean;
    };

/** One configuration of an operator; null: an input that is left out. */
export type GradientCase = {
  readonly inputs: readonly (Argument | null)[];
  readonly attributes?: NaiveAttributes & Attributes;
  /** Outputs that the node has. Default: the real ones. */
  readonly outputs?: number;
  /** What each output is multiplied by to make the loss. Default: drawn. */
  readonly weights?: readonly (readonly number[])[];
};

/** Real numbers that the gradient is asked for: drawn between two bounds, all distinct, none at a kink. */
export const real = (dims: readonly number[], from = -1, to = 1): Argument => ({ kind: "drawn", dims, from, to });

/** These real numbers: for what drawing would not meet. */
export const given = (dims: readonly number[], values: readonly number[]): Argument => ({
  kind: "real",
  dims,
  values,
  isFed: true,
  isWanted: true,
});

/** Real numbers that the model stores, and that the gradient is not asked for. */
export const held = (dims: readonly number[], values: readonly number[]): Argument => ({
  kind: "real",
  dims,
  values,
});

/** An int64 vector that the model stores: axes, shapes, pads. */
export const ints = (...values: number[]): Argument => ({ kind: "int64", dims: [values.length], values });

/** Integers that are fed: indices, labels, axes that are no constants. */
export const indices = (dims: readonly number[], values: readonly number[]): Argument => ({
  kind: "int64",
  dims,
  values,
  isFed: true,
});

export const bools = (dims: readonly number[], values: readonly number[]): Argument => ({
  kind: "bool",
  dims,
  values,
  isFed: true,
});

/** Shapes that a function of one value, element by element, meets. */
export const anyShapes: readonly (readonly number[])[] = [
  [],
  [1],
  [7],
  [0],
  [2, 3],
  [1, 5],
  [3, 1, 2],
  [2, 0, 3],
  [2, 3, 2, 2],
  [1, 1, 1, 4, 1],
];

/** One case for each of `anyShapes`, with each of these attributes in turn. */
export const onAnyShape = (
  from = -1,
  to = 1,
  attributes: readonly NonNullable<GradientCase["attributes"]>[] = [{}],
): GradientCase[] =>
  anyShapes.map((dims, index) => ({
    inputs: [real(dims, from, to)],
    attributes: attributes[index % attributes.length] ?? {},
  }));
