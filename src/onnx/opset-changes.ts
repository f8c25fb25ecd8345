import { create } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import { numberAttribute, numbersAttribute, setAttribute, textAttribute } from "./attribute.ts";
import type { GraphBuilder, Operand, Value } from "./graph-builder.ts";
import { type NodeProto, NodeProtoSchema } from "./onnx_pb.ts";
import { knowledgeOf } from "./value-info.ts";

/**
 * One change of an operator that alters what an old node means. Changes that only add types or optional attributes need
 * no row: the old node means the same under the new version.
 */
export type OpsetChange = {
  readonly ops: string;
  /** The opset that brought the change: nodes of models below it are rewritten. */
  readonly at: number;
  /** Rewrites the node in place; what `g` emits comes before it, the nodes returned come after it. */
  readonly rewrite: (node: NodeProto, g: GraphBuilder) => readonly NodeProto[] | undefined;
};

/** @see the operators' change log in the ONNX specification; in ascending order of opset, which is the order of application */
export const opsetChanges: readonly OpsetChange[] = [
  { ops: "Pad", at: 2, rewrite: (node) => refuse(node, "its form of opset 1") },
  { ops: "Concat", at: 4, rewrite: (node) => set(node, "axis", 1) },
  { ops: "Reshape", at: 5, rewrite: (node, g) => toInput(node, g, "shape", 1) },
  { ops: "Cast Tile", at: 6, rewrite: (node) => refuse(node, "its form before opset 6") },
  { ops: "Add And Div Equal Greater Less Mul Or Pow Sub Xor", at: 7, rewrite: (node) => alignOperands(node) },
  { ops: "PRelu", at: 7, rewrite: (node) => refuse(node, "broadcasting before opset 7") },
  { ops: "BatchNormalization Dropout", at: 7, rewrite: (node) => drop(node, "is_test", "consumed_inputs") },
  { ops: "Gemm", at: 7, rewrite: (node) => drop(node, "broadcast") },
  { ops: "GRU LSTM RNN", at: 7, rewrite: (node) => drop(node, "output_sequence") },
  { ops: "BatchNormalization", at: 9, rewrite: (node) => oneStatisticPerChannel(node) },
  { ops: "Scan", at: 9, rewrite: (node, g) => scanOverBatch(node, g) },
  { ops: "Upsample", at: 9, rewrite: (node, g) => scalesToInput(node, g) },
  { ops: "Slice", at: 10, rewrite: (node, g) => toInputs(node, g, ["starts", "ends", "axes"]) },
  { ops: "TopK", at: 10, rewrite: (node, g) => toInputs(node, g, ["k"]) },
  { ops: "Resize Upsample", at: 11, rewrite: (node, g) => resizeFromCorner(node, g) },
  { ops: "Scatter", at: 11, rewrite: (node) => rename(node, "ScatterElements") },
  { ops: "Clip", at: 11, rewrite: (node, g) => limitsToInputs(node, g) },
  { ops: "Pad", at: 11, rewrite: (node, g) => padsToInputs(node, g) },
  { ops: "Dropout", at: 12, rewrite: (node, g) => ratioToInput(node, g) },
  { ops: "Softmax LogSoftmax Hardmax", at: 13, rewrite: (node, g) => flattenAround(node, g) },
  { ops: "Squeeze Unsqueeze ReduceSum", at: 13, rewrite: (node, g) => toInput(node, g, "axes", 1) },
  { ops: "Split", at: 13, rewrite: (node, g) => toInput(node, g, "split", 1) },
  { ops: "BatchNormalization", at: 14, rewrite: (node) => onlyInference(node) },
  { ops: "RoiAlign", at: 16, rewrite: (node) => set(node, "coordinate_transformation_mode", "output_half_pixel") },
  {
    ops: "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare",
    at: 18,
    rewrite: (node, g) => toInput(node, g, "axes", 1),
  },
  { ops: "Split", at: 18, rewrite: (node) => countParts(node) },
  { ops: "DFT", at: 20, rewrite: (node, g) => axisOfTransform(node, g) },
  { ops: "GridSample", at: 20, rewrite: (node) => modesOfGridSample(node) },
  { ops: "GroupNormalization", at: 21, rewrite: (node) => refuse(node, "scale per group") },
];

function refuse(node: NodeProto, what: string): never {
  throw new TidegateError("MODEL_UNSUPPORTED", {
    what: `${node.opType} node ${JSON.stringify(node.name || (node.output[0] ?? ""))}`,
    reason: `${what} cannot be lifted`,
  });
}

function drop(node: NodeProto, ...names: string[]): undefined {
  for (const name of names) setAttribute(node, name, undefined);
}

function set(node: NodeProto, name: string, value: string | number): undefined {
  if (!node.attribute.some((attribute) => attribute.name === name)) setAttribute(node, name, value);
}

function rename(node: NodeProto, opType: string): undefined {
  node.opType = opType;
}

/** Sets input `index`; inputs between stay left out. */
function setInput(node: NodeProto, index: number, value: Value): void {
  while (node.input.length < index) node.input.push("");
  node.input[index] = value.name;
}

/** An attribute with integers becomes an int64 input, as a vector. */
function toInput(node: NodeProto, g: GraphBuilder, name: string, index: number): undefined {
  const values = numbersAttribute(node, name, undefined);
  setAttribute(node, name, undefined);
  if (values) setInput(node, index, g.constant(vector(values)));
}

function toInputs(node: NodeProto, g: GraphBuilder, names: readonly string[]): undefined {
  for (const [place, name] of names.entries()) {
    const attribute = node.attribute.find((candidate) => candidate.name === name);
    if (attribute && attribute.ints.length === 0) setAttribute(node, name, [numberAttribute(node, name, 0)]);
    toInput(node, g, name, place + 1);
  }
}

const vector = (values: readonly number[]) => tensor("int64", [values.length], BigInt64Array.from(values, BigInt));

/** Until opset 6 operands were lined up at `axis` from the left, and only when `broadcast` said so. */
function alignOperands(node: NodeProto): undefined {
  if (numberAttribute(node, "broadcast", 0) === 1 && numberAttribute(node, "axis", undefined) !== undefined) {
    refuse(node, "broadcasting along an axis, from before opset 7,");
  }
  drop(node, "broadcast", "axis", "consumed_inputs");
}

function oneStatisticPerChannel(node: NodeProto): undefined {
  if (numberAttribute(node, "spatial", 1) === 0) refuse(node, "spatial=0");
  drop(node, "spatial");
}

/** Before opset 14 more than one output meant training, with other outputs than now. */
function onlyInference(node: NodeProto): undefined {
  if (node.output.slice(1).some((name) => name !== "")) refuse(node, "the training form before opset 14");
  node.output = node.output.slice(0, 1);
}

/**
 * Scan of opset 8 had a batch as first axis of everything, and lengths as first input. It is a Scan over the batch whose
 * body is the Scan over time.
 */
function scanOverBatch(node: NodeProto, g: GraphBuilder): undefined {
  const body = node.attribute.find(({ name }) => name === "body")?.g;
  if ((node.input[0] ?? "") !== "" || !body) refuse(node, "a length per sequence");
  const directions = numbersAttribute(node, "directions", undefined);
  const each = g.subgraph(g.unusedName("each_of_batch"), (b) => {
    const elements = body.input.map((info) => {
      const { type } = knowledgeOf(info);
      return b.input(b.unusedName(info.name), type ?? refuse(node, "a body input without a type"));
    });
    const inner = {
      body,
      num_scan_inputs: numberAttribute(node, "num_scan_inputs", elements.length),
      scan_input_directions: directions,
    };
    for (const result of b.ops("Scan", node.output.length, elements, inner)) b.yields(result);
  });
  node.input = node.input.slice(1);
  drop(node, "directions");
  setAttribute(node, "body", each);
  setAttribute(node, "num_scan_inputs", node.input.length);
}

function scalesToInput(node: NodeProto, g: GraphBuilder): undefined {
  const scales = numbersAttribute(node, "scales", []);
  drop(node, "scales");
  setInput(node, 1, g.constant(tensor("float32", [scales.length], Float32Array.from(scales))));
}

/** Until opset 10 a point's place was its index times the scale; scales were the second input. */
function resizeFromCorner(node: NodeProto, g: GraphBuilder): undefined {
  const nearest = textAttribute(node, "mode", "nearest") === "nearest" && node.opType === "Resize";
  set(node, "nearest_mode", nearest && shrinks(node, g) ? "ceil" : "floor");
  node.opType = "Resize";
  node.input = [node.input[0] ?? "", "", node.input[1] ?? ""];
  set(node, "coordinate_transformation_mode", "asymmetric");
  if (textAttribute(node, "mode", "nearest") === "bilinear") setAttribute(node, "mode", "linear");
}

/** Opset 10 left open which neighbour is nearest; onnxruntime takes the upper one where an axis shrinks. */
function shrinks(node: NodeProto, g: GraphBuilder): boolean {
  const stored = g.stored(node.input[1] ?? "");
  if (!stored) refuse(node, "nearest, with scales that are computed,");
  const scales = Array.from<unknown, number>(stored.data, Number);
  const some = scales.some((scale) => scale < 1);
  if (some && scales.some((scale) => scale > 1)) refuse(node, "nearest, with one axis growing and another shrinking,");
  return some;
}

/** A float scalar in the type of the node's first input. */
function likeFirst(node: NodeProto, g: GraphBuilder, value: number): Value {
  const x = g.value(node.input[0] ?? "");
  const constant = g.constant(tensor("float32", [], Float32Array.of(value)));
  return x.type === "float32" ? constant : g.op("CastLike", [constant, x]);
}

function limitsToInputs(node: NodeProto, g: GraphBuilder): undefined {
  for (const [place, name] of ["min", "max"].entries()) {
    const limit = numberAttribute(node, name, undefined);
    setAttribute(node, name, undefined);
    if (limit !== undefined) setInput(node, place + 1, likeFirst(node, g, limit));
  }
  drop(node, "consumed_inputs");
}

function padsToInputs(node: NodeProto, g: GraphBuilder): undefined {
  toInput(node, g, "pads", 1);
  const value = numberAttribute(node, "value", 0);
  setAttribute(node, "value", undefined);
  if (value !== 0) setInput(node, 2, likeFirst(node, g, value));
}

function ratioToInput(node: NodeProto, g: GraphBuilder): undefined {
  const ratio = numberAttribute(node, "ratio", 0.5);
  setAttribute(node, "ratio", undefined);
  setInput(node, 1, g.constant(tensor("float32", [], Float32Array.of(ratio))));
}

/** Before opset 13 all axes from `axis` on were one: flatten to a matrix, apply to the last axis, and shape back. */
function flattenAround(node: NodeProto, g: GraphBuilder): readonly NodeProto[] | undefined {
  const axis = numberAttribute(node, "axis", 1);
  const x = g.value(node.input[0] ?? "");
  setAttribute(node, "axis", -1);
  if (axis === -1 || axis === (x.rank ?? 0) - 1) return undefined;
  const result = node.output[0] ?? "";
  const shape = g.shapeOf(x);
  const matrix = g.unusedName(`${result}_matrix`);
  node.input = [g.flatten(x, axis).name];
  node.output = [matrix];
  return [nodeOf("Reshape", [matrix, shape.name], result)];
}

const nodeOf = (opType: string, input: string[], output: string): NodeProto =>
  create(NodeProtoSchema, { opType, input, output: [output] });

/** From opset 18 on equal parts must be counted. */
function countParts(node: NodeProto): undefined {
  if ((node.input[1] ?? "") === "") setAttribute(node, "num_outputs", node.output.length);
}

function axisOfTransform(node: NodeProto, g: GraphBuilder): undefined {
  const axis: Operand = tensor("int64", [], BigInt64Array.of(BigInt(numberAttribute(node, "axis", 1))));
  setAttribute(node, "axis", undefined);
  setInput(node, 2, g.constant(axis));
}

function modesOfGridSample(node: NodeProto): undefined {
  const names: Readonly<Record<string, string>> = { bilinear: "linear", bicubic: "cubic" };
  const mode = names[textAttribute(node, "mode", "bilinear")];
  if (mode !== undefined) setAttribute(node, "mode", mode);
}
