import { clone } from "@bufbuild/protobuf";
import { type Tensor, tensor } from "../base/tensor.ts";
import { numberAttribute } from "./attribute.ts";
import { GraphBuilder, type Value } from "./graph-builder.ts";
import { capturedBy, graphsIn, prune } from "./graph-walk.ts";
import { lift } from "./lift.ts";
import { type ModelProto, ModelProtoSchema, type NodeProto } from "./onnx_pb.ts";
import { dimsOf, tensorOf } from "./tensor-proto.ts";

/**
 * weights: stored as 8-bit integers, computed with as float32: a quarter of the size, the same speed.
 * dynamic: products of matrices are computed in 8-bit integers too, their inputs scaled as they come; all other weights
 * as above.
 */
export type QuantizeMode = "weights" | "dynamic";

export type QuantizeReport = {
  readonly model: ModelProto;
  /** Tensors that became integers, and the numbers in them. */
  readonly tensors: readonly string[];
  readonly parameters: number;
  /** Products that are computed in integers. */
  readonly products: number;
};

/** Smaller tensors are not worth a scale. */
const leastNumbers = 64;

/** Which axis of an operand has a scale of its own for each place: that of the channels a weight is summed into. */
const channelAxes: Readonly<Record<string, (node: NodeProto, input: number, rank: number) => number | undefined>> = {
  MatMul: (_node, input, rank) => (input === 1 && rank >= 2 ? rank - 1 : undefined),
  Gemm: (node, input) => (input === 1 ? (numberAttribute(node, "transB", 0) === 1 ? 0 : 1) : undefined),
  Conv: (_node, input) => (input === 1 ? 0 : undefined),
  ConvTranspose: (_node, input) => (input === 1 ? 1 : undefined),
  Gather: (_node, input) => (input === 0 ? 0 : undefined),
  RNN: (_node, input) => (input === 1 || input === 2 ? 1 : undefined),
  GRU: (_node, input) => (input === 1 || input === 2 ? 1 : undefined),
  LSTM: (_node, input) => (input === 1 || input === 2 ? 1 : undefined),
};

/**
 * Stores a model's weights as 8-bit integers, symmetric around 0, with a scale for each channel. The model is not changed.
 *
 * @returns the model at opset 21; what it computes differs by rounding: compare it before it is used
 * @throws TidegateError MODEL_UNSUPPORTED when it cannot be lifted
 */
export function quantize(model: ModelProto, mode: QuantizeMode): QuantizeReport {
  const copy = lift(clone(ModelProtoSchema, model));
  const g = GraphBuilder.from(copy);
  const chosen = weightsOf(copy);
  const nodes = g.graph.node;
  g.graph.node = [];
  let products = 0;
  const restored = new Set<string>();
  for (const node of nodes) {
    const weight = chosen.get(node.input[1] ?? "");
    if (mode === "dynamic" && weight && weight.dims.length === 2 && isPlainProduct(node)) {
      multiply(g, node, weight);
      products++;
      continue;
    }
    for (const name of node.input) {
      const used = chosen.get(name);
      if (used && !restored.has(name)) restore(g, name, used);
      if (used) restored.add(name);
    }
    g.graph.node.push(node);
  }
  g.graph.initializer = g.graph.initializer.filter(({ name }) => !chosen.has(name));
  prune(g.graph);
  const parameters = [...chosen.values()].reduce((sum, { data }) => sum + data.length, 0);
  return { model: copy, tensors: [...chosen.keys()], parameters, products };
}

type Weight = {
  readonly dims: readonly number[];
  readonly data: Int8Array;
  readonly scales: Float32Array;
  readonly axis: number;
};

/** The weights that are used as such, and by nothing that would need another axis. */
function weightsOf(model: ModelProto): Map<string, Weight> {
  const { graph } = model;
  const weights = new Map<string, Weight>();
  if (!graph) return weights;
  // Inside subgraphs a weight is taken by name from around: those stay as they are.
  const taken = new Set([...graphsIn(graph)].slice(1).flatMap((inner) => [...capturedBy(inner)]));
  const fed = new Set([...graph.input, ...graph.output].map(({ name }) => name));
  for (const proto of graph.initializer) {
    if (proto.dataType !== 1 || taken.has(proto.name) || fed.has(proto.name)) continue;
    const dims = dimsOf(proto);
    const axes = graph.node.flatMap((node) =>
      node.input.flatMap((name, index) =>
        name === proto.name ? [channelAxes[node.opType]?.(node, index, dims.length)] : [],
      ),
    );
    const [axis] = axes;
    const values = tensorOf(proto) as Tensor<"float32">;
    if (axis === undefined || axes.some((other) => other !== axis) || values.data.length < leastNumbers) continue;
    weights.set(proto.name, rounded(values, axis));
  }
  return weights;
}

function rounded({ dims, data }: Tensor<"float32">, axis: number): Weight {
  const channels = dims[axis] ?? 1;
  const inner = dims.slice(axis + 1).reduce((product, size) => product * size, 1);
  const channelOf = (index: number): number => Math.floor(index / inner) % channels;
  const most = new Float32Array(channels);
  for (const [index, value] of data.entries()) {
    const channel = channelOf(index);
    most[channel] = Math.max(most[channel] ?? 0, Math.abs(value));
  }
  const scales = most.map((largest) => (largest === 0 ? 1 : largest / 127));
  const integers = Int8Array.from(data, (value, index) => Math.round(value / (scales[channelOf(index)] ?? 1)));
  return { dims, data: integers, scales, axis };
}

/**
 * The weight under its old name, as a product of integers and scales. By Cast and Mul, which onnxruntime works out once
 * when it loads the model; DequantizeLinear it would keep and compute in every run.
 */
function restore(g: GraphBuilder, name: string, { dims, data, scales, axis }: Weight): void {
  const integers = g.initializer(g.unusedName(`${name}_q`), tensor("int8", dims, data));
  const scaleDims = dims.map((_, each) => (each === axis ? scales.length : 1));
  const scale = g.initializer(g.unusedName(`${name}_scale`), tensor("float32", scaleDims, scales));
  g.mul(g.cast(integers, "float32"), scale);
  const last = g.graph.node.at(-1);
  if (last) last.output = [name];
}

/** x W, or a Gemm that is no more than that and a bias. */
const isPlainProduct = (node: NodeProto): boolean =>
  node.opType === "MatMul" ||
  (node.opType === "Gemm" &&
    numberAttribute(node, "alpha", 1) === 1 &&
    numberAttribute(node, "beta", 1) === 1 &&
    numberAttribute(node, "transA", 0) === 0);

/** The product in integers, under the name that it had. */
function multiply(g: GraphBuilder, node: NodeProto, weight: Weight): void {
  const [input = "", name = "", bias = ""] = node.input;
  const [rows = 0, columns = 0] = weight.dims;
  const isTurned = weight.axis === 0;
  const data = isTurned ? turned(weight.data, rows, columns) : weight.data;
  const dims = isTurned ? [columns, rows] : [rows, columns];
  const integers = g.initializer(g.unusedName(`${name}_q`), tensor("int8", dims, data));
  const scale = g.initializer(g.unusedName(`${name}_scale`), tensor("float32", [weight.scales.length], weight.scales));
  const [x, xScale, xZero] = g.ops("DynamicQuantizeLinear", 3, [g.value(input)]) as [Value, Value, Value];
  const sums = g.op("MatMulInteger", [x, integers, xZero]);
  const product = g.mul(g.cast(sums, "float32"), g.mul(xScale, scale));
  const result = bias === "" ? product : g.add(product, g.value(bias));
  const last = g.graph.node.at(-1);
  if (!last) return;
  last.output = node.output;
  g.know(result, { type: "float32" });
}

function turned(data: Int8Array, rows: number, columns: number): Int8Array {
  const result = new Int8Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column] ?? 0;
  return result;
}
