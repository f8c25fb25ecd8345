import { clone, create } from "@bufbuild/protobuf";
import type { AttributeInput } from "./attribute.ts";
import type { GraphBuilder, Value } from "./graph-builder.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  type NodeProto,
} from "./onnx_pb.ts";
import { tensorOf } from "./tensor-proto.ts";
import type { Knowledge } from "./value-info.ts";

export type InlineOptions = {
  /** What stands for an input or a stored tensor of the model, by the model's name. Stored tensors without it become constants. */
  readonly bindings: ReadonlyMap<string, Value>;
  /** What is known of the model's values, by the model's names: see `learnShapes`. */
  readonly known?: ReadonlyMap<string, Knowledge>;
  /** Writes a node in another way: gives what stands for its outputs, or undefined to have it copied. */
  readonly replace?: (node: NodeProto, inputs: readonly (Value | null)[]) => readonly Value[] | undefined;
};

/**
 * Writes the nodes of a model into a graph, under names that are free there. The model is not changed.
 *
 * @param model  of the same opset as `g` (lift it first); its inputs are all bound
 * @returns the value of `g` for each value of the model's graph, by the model's name
 */
export function inline(
  g: GraphBuilder,
  model: ModelProto,
  { bindings, known, replace }: InlineOptions,
): ReadonlyMap<string, Value> {
  const values = new Map(bindings);
  const { node = [], initializer = [] } = model.graph ?? {};
  for (const proto of initializer)
    if (!values.has(proto.name)) values.set(proto.name, g.constant(tensorOf(proto), proto.name));
  const nameOf = (name: string): string => values.get(name)?.name ?? name;
  for (const each of node) {
    const inputs = each.input.map((name) => (name === "" ? null : (values.get(name) ?? g.value(name))));
    const attributes = (): Record<string, AttributeInput> =>
      Object.fromEntries(each.attribute.map((attribute) => [attribute.name, renamed(attribute, nameOf, g)]));
    const outputs =
      replace?.(each, inputs) ?? g.ops(each.opType, each.output, inputs, attributes(), { domain: each.domain });
    for (const [index, name] of each.output.entries()) {
      const value = outputs[index];
      if (name !== "" && value) values.set(name, g.know(value, known?.get(name) ?? {}));
    }
  }
  return values;
}

/** An attribute with its subgraphs under new names: those of the graph around them, and free ones of their own. */
function renamed(attribute: AttributeProto, outer: (name: string) => string, g: GraphBuilder): AttributeProto {
  if (!attribute.g && attribute.graphs.length === 0) return attribute;
  const copy = clone(AttributeProtoSchema, attribute);
  for (const graph of [...(copy.g ? [copy.g] : []), ...copy.graphs]) renameIn(graph, outer, g);
  return create(AttributeProtoSchema, copy);
}

function renameIn(graph: GraphProto, outer: (name: string) => string, g: GraphBuilder): void {
  const own = new Map<string, string>();
  const inner = (name: string): string => (name === "" ? "" : (own.get(name) ?? outer(name)));
  const declare = (name: string): string => {
    if (name === "") return "";
    const free = g.freshName(name);
    own.set(name, free);
    return free;
  };
  for (const entry of [...graph.input, ...graph.initializer]) entry.name = own.get(entry.name) ?? declare(entry.name);
  for (const node of graph.node) {
    node.input = node.input.map(inner);
    for (const attribute of node.attribute)
      for (const sub of [...(attribute.g ? [attribute.g] : []), ...attribute.graphs]) renameIn(sub, inner, g);
    node.output = node.output.map(declare);
  }
  for (const output of graph.output) output.name = inner(output.name);
  graph.valueInfo = [];
}
