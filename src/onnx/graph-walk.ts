import { subgraphsOf } from "./attribute.ts";
import type { GraphProto, ModelProto, NodeProto, TensorProto } from "./onnx_pb.ts";

/** The graph and every subgraph in it, outermost first. */
export function* graphsIn(graph: GraphProto): Generator<GraphProto> {
  yield graph;
  for (const node of graph.node) for (const { graph: inner } of subgraphsOf(node)) yield* graphsIn(inner);
}

/** Every node of a graph and of its subgraphs. */
export function* nodesIn(graph: GraphProto): Generator<NodeProto> {
  for (const { node } of graphsIn(graph)) yield* node;
}

/** Every tensor that a model stores: initializers (also sparse ones) and attributes, in all graphs and functions. */
export function* tensorsIn(model: ModelProto): Generator<TensorProto> {
  const graphs = model.graph ? [...graphsIn(model.graph)] : [];
  for (const training of model.trainingInfo) {
    for (const graph of [training.initialization, training.algorithm]) if (graph) graphs.push(...graphsIn(graph));
  }
  const nodes = [...graphs.flatMap((graph) => graph.node)];
  for (const fn of model.functions) {
    for (const node of fn.node) {
      nodes.push(node);
      for (const { graph } of subgraphsOf(node)) for (const inner of graphsIn(graph)) graphs.push(inner);
    }
  }
  for (const graph of new Set(graphs)) {
    yield* graph.initializer;
    for (const { values, indices } of graph.sparseInitializer) {
      if (values) yield values;
      if (indices) yield indices;
    }
    nodes.push(...graph.node);
  }
  for (const node of new Set(nodes)) {
    for (const { t, tensors, sparseTensor } of node.attribute) {
      if (t) yield t;
      if (sparseTensor?.values) yield sparseTensor.values;
      if (sparseTensor?.indices) yield sparseTensor.indices;
      yield* tensors;
    }
  }
}

/** Names that a subgraph takes from the graphs around it. */
export function capturedBy(graph: GraphProto): Set<string> {
  const own = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
  for (const { values } of graph.sparseInitializer) if (values) own.add(values.name);
  const captured = new Set<string>();
  const use = (name: string): void => {
    if (name !== "" && !own.has(name)) captured.add(name);
  };
  for (const node of graph.node) {
    for (const name of usedBy(node)) use(name);
    for (const name of node.output) own.add(name);
  }
  for (const { name } of graph.output) use(name);
  return captured;
}

/** Every name that a node takes: its inputs, and what its subgraphs capture. */
export function usedBy(node: NodeProto): Set<string> {
  const used = new Set(node.input.filter((name) => name !== ""));
  for (const { graph } of subgraphsOf(node)) for (const name of capturedBy(graph)) used.add(name);
  return used;
}

/**
 * Removes nodes and initializers that no output of the graph depends on, in place. Initializers that are also inputs
 * stay as inputs. Subgraphs stay as they are.
 */
export function prune(graph: GraphProto): void {
  const needed = new Set(graph.output.map(({ name }) => name));
  graph.node = graph.node
    .toReversed()
    .filter((node) => {
      if (!node.output.some((name) => needed.has(name))) return false;
      for (const name of usedBy(node)) needed.add(name);
      return true;
    })
    .toReversed();
  graph.initializer = graph.initializer.filter(({ name }) => needed.has(name));
}
