import { create } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import { attributeOf, subgraphsOf } from "./attribute.ts";
import { GraphBuilder } from "./graph-builder.ts";
import { opsetOf } from "./model-file.ts";
import {
  type FunctionProto,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type OperatorSetIdProto,
} from "./onnx_pb.ts";
import { type OpsetChange, opsetChanges } from "./opset-changes.ts";
import { tensorOf } from "./tensor-proto.ts";

/** The one opset that gradients and the named operators of the builder are written for. */
export const liftedOpset = 21;
const liftedIrVersion = 10n;

const changesByOp = new Map<string, OpsetChange[]>();
for (const change of opsetChanges) {
  for (const op of change.ops.split(" ")) changesByOp.set(op, [...(changesByOp.get(op) ?? []), change]);
}

/**
 * Rewrites a model to opset 21 and IR version 10, in place, with all its subgraphs and functions; names of values stay.
 * Gives the same results in onnxruntime. In models before IR version 4, where every initializer had to be an input,
 * initializers cease to be inputs (onnxruntime never let them be fed).
 *
 * @returns the same model
 * @throws TidegateError MODEL_UNSUPPORTED for opsets after 21 and for nodes that cannot be lifted; the model is then
 *   half changed
 */
export function lift(model: ModelProto): ModelProto {
  const { graph } = model;
  const opset = opsetOf(model);
  if (graph && opset !== undefined) {
    if (opset > liftedOpset) throw tooNew(opset);
    if (model.irVersion < 4n) dropFedInitializers(graph);
    if (model.irVersion < liftedIrVersion) model.irVersion = liftedIrVersion;
    liftGraph(GraphBuilder.from(model), opset);
    raise(model.opsetImport);
  }
  for (const fn of model.functions) liftFunction(fn);
  return model;
}

const tooNew = (opset: number): TidegateError =>
  new TidegateError("MODEL_UNSUPPORTED", { what: `opset ${opset}`, reason: `opsets up to ${liftedOpset} are known` });

function raise(imports: readonly OperatorSetIdProto[]): void {
  for (const entry of imports) if (isStandard(entry.domain)) entry.version = BigInt(liftedOpset);
}

const isStandard = (domain: string): boolean => domain === "" || domain === "ai.onnx";

function dropFedInitializers(graph: GraphProto): void {
  const stored = new Set(graph.initializer.map(({ name }) => name));
  graph.input = graph.input.filter(({ name }) => !stored.has(name));
}

/** Writes the nodes of a graph anew, each with what must come before and after it. */
function liftGraph(g: GraphBuilder, opset: number): void {
  const nodes = g.graph.node;
  g.graph.node = [];
  for (const node of nodes) {
    for (const { graph } of subgraphsOf(node)) liftGraph(g.open(graph), opset);
    const after = isStandard(node.domain) ? rewrite(node, g, opset) : [];
    g.graph.node.push(node, ...after);
  }
}

function rewrite(node: NodeProto, g: GraphBuilder, opset: number): readonly NodeProto[] {
  const after: NodeProto[] = [];
  // By name at the time: a change may rename the operator, and later changes are then those of the new name.
  for (const change of opsetChanges) {
    if (opset >= change.at || !changesByOp.get(node.opType)?.includes(change)) continue;
    const referring = node.attribute.find(({ refAttrName }) => refAttrName !== "");
    if (referring) {
      const reason = `attribute ${referring.name} comes from a function's call and cannot be lifted`;
      throw new TidegateError("MODEL_UNSUPPORTED", { what: `${node.opType} node`, reason });
    }
    after.push(...(change.rewrite(node, g) ?? []));
  }
  return after;
}

/** A function holds no initializers: the constants that lifting adds become nodes of it. */
function liftFunction(fn: FunctionProto): void {
  const entry = fn.opsetImport.find(({ domain }) => isStandard(domain));
  if (!entry) return;
  const opset = Number(entry.version);
  if (opset > liftedOpset) throw tooNew(opset);
  const graph = create(GraphProtoSchema, { node: fn.node, input: fn.input.map((name) => ({ name })) });
  const model = create(ModelProtoSchema, { irVersion: liftedIrVersion, graph });
  liftGraph(GraphBuilder.from(model), opset);
  const constants = graph.initializer.map((proto) =>
    create(NodeProtoSchema, {
      opType: "Constant",
      output: [proto.name],
      attribute: [attributeOf("value", tensorOf(proto))],
    }),
  );
  fn.node = [...constants, ...graph.node];
  raise(fn.opsetImport);
}
