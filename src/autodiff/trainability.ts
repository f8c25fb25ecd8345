import { usedBy } from "../onnx/graph-walk.ts";
import type { ModelProto, NodeProto } from "../onnx/onnx_pb.ts";
import { classOf } from "./gradient-table.ts";

export type Trainability = {
  /** Nodes that lie between a parameter and an output, by the operator's name (`domain.Name` outside the standard). */
  readonly onTheWay: ReadonlySet<NodeProto>;
  /** Those of them that no gradient can pass: what lies before them cannot be trained. */
  readonly blocked: readonly { readonly node: string; readonly op: string }[];
};

/**
 * Which nodes a gradient would have to pass on its way from the outputs to these parameters, and where it could not.
 * @param model  lifted, so that its operators are those of the table
 * @param parameters  names of stored tensors
 */
export function trainabilityOf(model: ModelProto, parameters: readonly string[]): Trainability {
  const nodes = model.graph?.node ?? [];
  const changed = new Set(parameters);
  const forward = nodes.filter((node) => {
    if (classOf(node.opType, node.domain) === "zero" || ![...usedBy(node)].some((name) => changed.has(name)))
      return false;
    for (const name of node.output) changed.add(name);
    return true;
  });
  const needed = new Set(model.graph?.output.map(({ name }) => name));
  for (const node of nodes.toReversed())
    if (node.output.some((name) => needed.has(name))) for (const name of usedBy(node)) needed.add(name);
  const onTheWay = forward.filter(({ output }) => output.some((name) => needed.has(name)));
  const blocked = onTheWay
    .filter(({ opType, domain }) => classOf(opType, domain) === "refused")
    .map(({ name, output, opType }) => ({ node: name || output[0] || "?", op: opType }));
  return { onTheWay: new Set(onTheWay), blocked };
}
