import { sizeOf } from "../base/tensor.ts";
import { graphsIn, nodesIn } from "./graph-walk.ts";
import { opsetOf } from "./model-file.ts";
import type { ModelProto, ValueInfoProto } from "./onnx_pb.ts";
import { dimsOf } from "./tensor-proto.ts";
import { type Knowledge, knowledgeOf } from "./value-info.ts";

export type Port = Knowledge & { readonly name: string };

export type GraphSummary = {
  readonly opset: number | undefined;
  readonly irVersion: number;
  readonly producer: string;
  /** Numbers stored in floating-point initializers, all graphs together. */
  readonly parameters: number;
  /** What has to be fed: inputs without a stored value. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Operators of all graphs, most frequent first; those outside the standard as `domain.Name`. */
  readonly operators: readonly { readonly op: string; readonly count: number }[];
};

/** float32, float16, float64, bfloat16: the types a weight can have. Integers are shapes, axes and indices. */
const floating = new Set([1, 10, 11, 16]);

/** What `model show` says of a graph. */
export function summarize(model: ModelProto): GraphSummary {
  const { graph } = model;
  const nodes = graph ? [...nodesIn(graph)] : [];
  const graphs = graph ? [...graphsIn(graph)] : [];
  const stored = new Set(graph?.initializer.map(({ name }) => name));
  const weights = graphs.flatMap(({ initializer }) => initializer).filter(({ dataType }) => floating.has(dataType));
  const port = (info: ValueInfoProto): Port => ({ name: info.name, ...knowledgeOf(info) });
  const byOp = Map.groupBy(nodes, ({ domain, opType }) =>
    domain === "" || domain === "ai.onnx" ? opType : `${domain}.${opType}`,
  );
  return {
    opset: opsetOf(model),
    irVersion: Number(model.irVersion),
    producer: [model.producerName, model.producerVersion].filter((text) => text !== "").join(" "),
    parameters: weights.reduce((sum, proto) => sum + sizeOf(dimsOf(proto)), 0),
    inputs: (graph?.input ?? []).filter(({ name }) => !stored.has(name)).map(port),
    outputs: (graph?.output ?? []).map(port),
    operators: [...byOp]
      .map(([op, { length }]) => ({ op, count: length }))
      .toSorted((a, b) => b.count - a.count || a.op.localeCompare(b.op)),
  };
}
