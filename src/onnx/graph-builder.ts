import { create } from "@bufbuild/protobuf";
import type { TensorType } from "../base/tensor.ts";
import { numberOfType } from "./element-type.ts";
import {
  type Attributes,
  GraphWriter,
  type NewModel,
  type Operand,
  type OpOptions,
  type Place,
  type Value,
} from "./graph-writer.ts";
import { type GraphProto, GraphProtoSchema, type ModelProto } from "./onnx_pb.ts";

export { type Attributes, type NewModel, type Operand, type OpOptions, Value } from "./graph-writer.ts";

/** Axes of a reduction: a list, a value, or undefined for all. */
export type Axes = readonly number[] | Value | undefined;

export type ReduceOptions = OpOptions & {
  /** Keep the reduced axes as 1. Default: drop them. */
  readonly keep?: boolean;
};

/**
 * Writes an ONNX graph so that it reads like mathematics:
 *
 * ```ts
 * const g = new GraphBuilder();
 * const x = g.input("x", "float32", ["batch", 16]);
 * g.output("y", g.relu(g.add(g.matmul(x, weights), bias)));
 * const bytes = encodeModel(g.model);
 * ```
 *
 * The named operators follow opset 21; `op` and `ops` take any operator.
 */
export class GraphBuilder extends GraphWriter {
  constructor(place: NewModel | Place = {}) {
    super(place);
  }

  /**
   * Opens a model to emit more nodes into it. The model is changed in place; no name that it has changes.
   * Lift it first (lift.ts) when named operators are to be used.
   */
  static from(model: ModelProto): GraphBuilder {
    // Before IR version 4 every initializer had to be an input as well; constants are added without that.
    if (model.irVersion < 4n) model.irVersion = 4n;
    return new GraphBuilder({ model });
  }

  /** Writes a subgraph, for an attribute of Loop, Scan or If (see control-flow.ts). It may use the values of this graph. */
  subgraph(name: string, write: (body: GraphBuilder) => void): GraphProto {
    const body = this.open(create(GraphProtoSchema, { name }));
    write(body);
    return body.graph;
  }

  /** Opens an existing subgraph of a node of this graph, to emit more nodes into it. */
  open(subgraph: GraphProto): GraphBuilder {
    return new GraphBuilder({ parent: this, graph: subgraph });
  }

  // Arithmetic, with broadcasting.
  add = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Add", [a, b], {}, options);
  sub = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Sub", [a, b], {}, options);
  mul = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Mul", [a, b], {}, options);
  div = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Div", [a, b], {}, options);
  pow = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Pow", [a, b], {}, options);
  min = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Min", [a, b], {}, options);
  max = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Max", [a, b], {}, options);

  // Functions of one value, element by element.
  neg = (x: Operand, options?: OpOptions): Value => this.op("Neg", [x], {}, options);
  abs = (x: Operand, options?: OpOptions): Value => this.op("Abs", [x], {}, options);
  sign = (x: Operand, options?: OpOptions): Value => this.op("Sign", [x], {}, options);
  exp = (x: Operand, options?: OpOptions): Value => this.op("Exp", [x], {}, options);
  log = (x: Operand, options?: OpOptions): Value => this.op("Log", [x], {}, options);
  sqrt = (x: Operand, options?: OpOptions): Value => this.op("Sqrt", [x], {}, options);
  reciprocal = (x: Operand, options?: OpOptions): Value => this.op("Reciprocal", [x], {}, options);
  square = (x: Value, options?: OpOptions): Value => this.op("Mul", [x, x], {}, options);
  erf = (x: Operand, options?: OpOptions): Value => this.op("Erf", [x], {}, options);
  sin = (x: Operand, options?: OpOptions): Value => this.op("Sin", [x], {}, options);
  cos = (x: Operand, options?: OpOptions): Value => this.op("Cos", [x], {}, options);
  relu = (x: Operand, options?: OpOptions): Value => this.op("Relu", [x], {}, options);
  sigmoid = (x: Operand, options?: OpOptions): Value => this.op("Sigmoid", [x], {}, options);
  tanh = (x: Operand, options?: OpOptions): Value => this.op("Tanh", [x], {}, options);
  identity = (x: Operand, options?: OpOptions): Value => this.op("Identity", [x], {}, options);
  clip = (x: Operand, low: Operand, high: Operand, options?: OpOptions): Value =>
    this.op("Clip", [x, low, high], {}, options);
  softmax = (x: Operand, axis = -1, options?: OpOptions): Value => this.op("Softmax", [x], { axis }, options);
  logSoftmax = (x: Operand, axis = -1, options?: OpOptions): Value => this.op("LogSoftmax", [x], { axis }, options);
  cast = (x: Operand, to: TensorType, options?: OpOptions): Value =>
    this.op("Cast", [x], { to: numberOfType(to) }, options);

  // Comparison and logic.
  equal = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Equal", [a, b], {}, options);
  less = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Less", [a, b], {}, options);
  lessOrEqual = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("LessOrEqual", [a, b], {}, options);
  greater = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Greater", [a, b], {}, options);
  greaterOrEqual = (a: Operand, b: Operand, options?: OpOptions): Value =>
    this.op("GreaterOrEqual", [a, b], {}, options);
  not = (x: Operand, options?: OpOptions): Value => this.op("Not", [x], {}, options);
  and = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("And", [a, b], {}, options);
  or = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("Or", [a, b], {}, options);

  /** `yes` where the condition holds, else `no`. A number takes the type of the value beside it, not the condition's. */
  where(condition: Operand, yes: Operand, no: Operand, options?: OpOptions): Value {
    const [a, b] = this.alike(yes, no);
    return this.op("Where", [condition, a, b], {}, options);
  }

  // Products.
  matmul = (a: Operand, b: Operand, options?: OpOptions): Value => this.op("MatMul", [a, b], {}, options);

  /** alpha A B + beta C; A and B are matrices, transposed first when asked. */
  gemm(a: Operand, b: Operand, c: Operand = null, attributes: GemmAttributes = {}, options?: OpOptions): Value {
    return this.op("Gemm", [a, b, c], attributes, options);
  }

  // Reductions. Without axes: over all.
  sum = (x: Operand, axes?: Axes, options?: ReduceOptions): Value => this.#reduce("ReduceSum", x, axes, options);
  mean = (x: Operand, axes?: Axes, options?: ReduceOptions): Value => this.#reduce("ReduceMean", x, axes, options);
  maximum = (x: Operand, axes?: Axes, options?: ReduceOptions): Value => this.#reduce("ReduceMax", x, axes, options);
  minimum = (x: Operand, axes?: Axes, options?: ReduceOptions): Value => this.#reduce("ReduceMin", x, axes, options);
  argMax = (x: Operand, axis: number, { keep = false, ...options }: ReduceOptions = {}): Value =>
    this.op("ArgMax", [x], { axis, keepdims: keep }, options);

  #reduce(opType: string, x: Operand, axes: Axes, { keep = false, ...options }: ReduceOptions = {}): Value {
    // An empty list of axes would mean all axes to the operator.
    if (Array.isArray(axes) && axes.length === 0) return this.identity(x, options);
    return this.op(opType, [x, axes ?? null], { keepdims: keep }, options);
  }

  // Shape and place.
  shapeOf = (x: Operand, options?: OpOptions): Value => this.op("Shape", [x], {}, options);
  reshape = (x: Operand, shape: Operand, options?: OpOptions): Value => this.op("Reshape", [x, shape], {}, options);
  flatten = (x: Operand, axis = 1, options?: OpOptions): Value => this.op("Flatten", [x], { axis }, options);
  transpose = (x: Operand, perm?: readonly number[], options?: OpOptions): Value =>
    this.op("Transpose", [x], { perm }, options);
  squeeze = (x: Operand, axes: Operand, options?: OpOptions): Value => this.op("Squeeze", [x, axes], {}, options);
  unsqueeze = (x: Operand, axes: Operand, options?: OpOptions): Value => this.op("Unsqueeze", [x, axes], {}, options);
  expand = (x: Operand, shape: Operand, options?: OpOptions): Value => this.op("Expand", [x, shape], {}, options);
  pad = (x: Operand, pads: Operand, options?: OpOptions): Value => this.op("Pad", [x, pads], {}, options);
  concat = (values: readonly Operand[], axis: number, options?: OpOptions): Value =>
    this.op("Concat", values, { axis }, options);
  gather = (x: Operand, indices: Operand, axis = 0, options?: OpOptions): Value =>
    this.op("Gather", [x, indices], { axis }, options);
  slice = (x: Operand, s: SliceOperands, options?: OpOptions): Value =>
    this.op("Slice", [x, s.starts, s.ends, s.axes ?? null, s.steps ?? null], {}, options);

  /** Cuts along an axis into parts of these sizes. */
  split(
    x: Operand,
    sizes: readonly number[] | Value,
    parts: number,
    axis = 0,
    { name = "split" }: OpOptions = {},
  ): Value[] {
    return this.ops("Split", parts, [x, sizes], { axis }, { name });
  }

  /** Zeros of the shape and type of x (its type must be known). */
  zerosLike = (x: Value, options?: OpOptions): Value => this.expand(this.zero(x), this.shapeOf(x), options);

  /** The scalar 0 in the type of x. */
  zero(x: Value): Value {
    const [zero] = this.alike(0, x);
    return zero;
  }
}

export type GemmAttributes = Attributes & {
  readonly alpha?: number;
  readonly beta?: number;
  readonly transA?: 0 | 1;
  readonly transB?: 0 | 1;
};

export type SliceOperands = {
  readonly starts: Operand;
  readonly ends: Operand;
  readonly axes?: Operand;
  readonly steps?: Operand;
};
