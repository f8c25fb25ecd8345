import { TidegateError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import { numberAttribute, numbersAttribute, textAttribute } from "../onnx/attribute.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import type { NodeProto } from "../onnx/onnx_pb.ts";
import { isStatic } from "../onnx/value-info.ts";

/** Gradients for the inputs of a node, in their order; undefined for one that has none (an axis, an index, a shape). */
export type Gradients = readonly (Value | undefined)[];

/**
 * How the gradient passes through one operator (of opset 21): emits into `g` what computes it.
 * What is emitted for an input that needs no gradient is pruned; a rule looks at `wants` only where that saves work here.
 */
export type GradientRule = (at: NodeGradient) => Gradients;

/** One node on the way back from the loss: its forward values, and the gradients that have arrived at its outputs. */
export class NodeGradient {
  /** The graph that the gradient is emitted into: the one that the node is in. */
  readonly g: GraphBuilder;
  readonly node: NodeProto;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** By output; undefined where the loss does not depend on it. */
  readonly upstream: readonly (Value | undefined)[];
  readonly #wanted: ReadonlySet<string>;

  constructor(
    g: GraphBuilder,
    node: NodeProto,
    upstream: readonly (Value | undefined)[],
    /** Names of the values that need a gradient. */
    wanted: ReadonlySet<string>,
  ) {
    const handle = (name: string): Value | undefined => (name === "" ? undefined : g.value(name));
    this.g = g;
    this.node = node;
    this.inputs = node.input.map(handle);
    this.outputs = node.output.map(handle);
    this.upstream = upstream;
    this.#wanted = wanted;
  }

  /** The inputs by place, for rules to be read like formulas. */
  get a(): Value {
    return this.input(0);
  }

  get b(): Value {
    return this.input(1);
  }

  get c(): Value {
    return this.input(2);
  }

  /** The first output, and the gradient at it. */
  get y(): Value {
    return this.#present(this.outputs[0], "output 0");
  }

  get dY(): Value {
    return this.#present(this.upstream[0], "gradient at output 0");
  }

  input(index: number): Value {
    return this.#present(this.inputs[index], `input ${index}`);
  }

  /** An output that the node can give, whether or not the model takes it: the node then gives it. */
  given(index: number, name: string, type?: TensorType): Value {
    while (this.node.output.length <= index) this.node.output.push("");
    if (this.node.output[index] === "") this.node.output[index] = this.g.freshName(name);
    return this.g.know(this.g.value(this.node.output[index] ?? ""), { type });
  }

  /** Whether the gradient of this input is asked for. */
  wants(index: number): boolean {
    const value = this.inputs[index];
    return value !== undefined && this.#wanted.has(value.name);
  }

  number<D extends number | undefined>(name: string, fallback: D): number | D {
    return numberAttribute(this.node, name, fallback);
  }

  numbers<D extends readonly number[] | undefined>(name: string, fallback: D): readonly number[] | D {
    return numbersAttribute(this.node, name, fallback);
  }

  text<D extends string | undefined>(name: string, fallback: D): string | D {
    return textAttribute(this.node, name, fallback);
  }

  /** The size of each dimension, where a rule cannot do without.
   * @throws TidegateError MODEL_UNTRAINABLE when one is not fixed */
  sizes(value: Value, what: string): readonly number[] {
    const { shape } = value;
    if (isStatic(shape)) return shape;
    throw this.refusal(
      `the shape of ${what} is not fixed`,
      "Give the model a fixed size there: all but the batch must be known.",
    );
  }

  /** The sizes behind batch and channels.
   * @throws TidegateError MODEL_UNTRAINABLE when one is not fixed */
  space(value: Value): readonly number[] {
    const sizes = value.shape?.slice(2);
    if (isStatic(sizes)) return sizes;
    throw this.refusal(
      `the spatial sizes of ${value.name} are not fixed`,
      "Give the model a fixed size there: all but the batch must be known.",
    );
  }

  /** Number of dimensions.
   * @throws TidegateError MODEL_UNTRAINABLE when it is not known */
  rank(value: Value, what: string): number {
    if (value.rank !== undefined) return value.rank;
    throw this.refusal(
      `the rank of ${what} is not known`,
      "Run the model through onnxruntime's shape inference, or declare the shape.",
    );
  }

  /** The numbers of an input that must be a constant (axes, pads, sizes).
   * @throws TidegateError MODEL_UNTRAINABLE when it is computed at run time */
  fixed(index: number, what: string): readonly number[] | undefined {
    const value = this.inputs[index];
    if (value === undefined) return undefined;
    const stored = this.g.stored(value.name);
    if (stored) return Array.from<unknown, number>(stored.data, Number);
    throw this.refusal(
      `${what} are computed while it runs`,
      `Make ${what} a constant of the model: constant folding when it is exported does that.`,
    );
  }

  refusal(reason: string, remedy: string): TidegateError {
    const { name, output, opType } = this.node;
    return new TidegateError("MODEL_UNTRAINABLE", { node: name || output[0] || "?", op: opType, reason, remedy });
  }

  #present(value: Value | undefined, what: string): Value {
    if (value) return value;
    throw new TidegateError("BUG", { detail: `${this.node.opType} has no ${what}` });
  }
}
