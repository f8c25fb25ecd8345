import { nodesIn } from "../onnx/graph-walk.ts";
import type { GraphProto, NodeProto } from "../onnx/onnx_pb.ts";

/**
 * Lets a MaxPool go before the Relu that it follows, in place: the maximum of what was cut off at 0 is the maximum, cut off
 * at 0. Forwards and backwards, Relu then works on a quarter of the numbers. The value between the two is another one
 * afterwards; where something else looks at it, they stay as they are.
 *
 * @param kept  names of values that are looked at from outside
 */
export function poolFirst(graph: GraphProto, kept: ReadonlySet<string>): void {
  const uses = new Map<string, number>();
  for (const { input } of nodesIn(graph)) for (const name of input) uses.set(name, (uses.get(name) ?? 0) + 1);
  for (const { name } of graph.output) uses.set(name, 2);
  for (const [index, pool] of graph.node.entries()) {
    const between = pool.input[0] ?? "";
    const at = graph.node.findIndex(({ output }) => output[0] === between);
    const relu = graph.node[at];
    if (!relu || !isPlain(pool, "MaxPool") || !isPlain(relu, "Relu")) continue;
    if (uses.get(between) !== 1 || kept.has(between)) continue;
    const [from, to] = [relu.input, pool.output];
    Object.assign(pool, { input: from, output: [between] });
    Object.assign(relu, { input: [between], output: to });
    [graph.node[at], graph.node[index]] = [pool, relu];
    graph.valueInfo = graph.valueInfo.filter(({ name }) => name !== between);
  }
}

const isPlain = (node: NodeProto, opType: string): boolean =>
  node.opType === opType && node.domain === "" && node.input.length === 1 && node.output.length === 1;
