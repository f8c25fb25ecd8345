import type { TidegateError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { usedBy } from "../onnx/graph-walk.ts";
import type { NodeProto } from "../onnx/onnx_pb.ts";
import { classOf, gradients, ofSeveralOutputs } from "./gradient-table.ts";
import { NodeGradient } from "./rule.ts";

/**
 * Reverse-mode differentiation: emits, behind the nodes that `g` has, those that compute how `loss` changes with each
 * parameter. One walk from the loss to the parameters; the rule of each operator is in gradient-table.ts.
 *
 * @param loss  a scalar (or one element)
 * @param parameters  values of `g`: inputs, or results of nodes, through which the walk does not go on
 * @returns the gradient of each parameter, of its shape, in their order; zeros for one that the loss does not depend on
 * @throws TidegateError MODEL_UNTRAINABLE for a node between a parameter and the loss that no gradient can pass
 */
export function backward(g: GraphBuilder, loss: Value, parameters: readonly Value[]): Value[] {
  const nodes = [...g.graph.node];
  const wanted = dependents(nodes, parameters, g);
  const arrived = new Map<string, Value[]>();
  const arrive = (name: string, gradient: Value): void => {
    arrived.set(name, [...(arrived.get(name) ?? []), gradient]);
  };
  /** The whole gradient at a value: what came from everywhere that it is used, added up. */
  const total = (name: string): Value | undefined => {
    const parts = arrived.get(name);
    if (!parts || parts.length === 0) return undefined;
    const [first] = parts;
    const sum = parts.length === 1 ? first : g.op("Sum", parts, {}, { name: `d_${name}` });
    if (!sum) return undefined;
    const { type, shape } = g.value(name);
    arrived.set(name, [g.know(sum, { type, shape })]);
    return sum;
  };

  arrive(loss.name, onesLike(g, loss));
  const stops = new Set(parameters.map(({ name }) => name));
  for (const node of nodes.toReversed()) {
    if (node.output.some((name) => stops.has(name))) continue;
    const upstream = node.output.map((name) => (wanted.has(name) ? total(name) : undefined));
    if (upstream.every((gradient) => gradient === undefined)) continue;
    for (const [name, gradient] of inputGradients(g, node, upstream, wanted)) arrive(name, gradient);
  }
  return parameters.map((parameter) => total(parameter.name) ?? g.zerosLike(parameter));
}

/** The gradients that a node hands on to those of its inputs that need one. */
function inputGradients(
  g: GraphBuilder,
  node: NodeProto,
  upstream: readonly (Value | undefined)[],
  wanted: ReadonlySet<string>,
): (readonly [string, Value])[] {
  const at = new NodeGradient(g, node, upstream, wanted);
  const rule = Object.hasOwn(gradients, node.opType) ? gradients[node.opType] : undefined;
  if (classOf(node.opType, node.domain) !== "rule" || rule === undefined) throw refused(at);
  const later = upstream.findIndex((gradient, place) => place > 0 && gradient !== undefined);
  if (later > 0 && !ofSeveralOutputs.has(node.opType)) throw refused(at, ` from ${JSON.stringify(node.output[later])}`);
  const found = rule(at);
  const given = node.input.flatMap((name, index) => {
    const gradient = found[index];
    return gradient && wanted.has(name) ? [[name, gradient] as const] : [];
  });
  // None at all would pass for a gradient of zero.
  const left = [...usedBy(node)].find((name) => wanted.has(name) && !given.some(([each]) => each === name));
  if (left !== undefined && g.value(left).type !== undefined)
    throw refused(at, ` with respect to ${JSON.stringify(left)}`);
  return given;
}

function refused(at: NodeGradient, where = ""): TidegateError {
  const remedy =
    "Freeze the weights before it (`trainable` in the card), or export the model with operators that have a gradient: `tidegate model show` lists them.";
  return at.refusal(`no gradient is known for this operator${where}`, remedy);
}

/**
 * Names of all values that change with a parameter, the parameters included, as far as a gradient can: what an operator
 * without a gradient gives is not among them, nor is anything but a real number.
 */
function dependents(nodes: readonly NodeProto[], parameters: readonly Value[], g: GraphBuilder): ReadonlySet<string> {
  const names = new Set(parameters.map(({ name }) => name));
  for (const node of nodes) {
    if (classOf(node.opType, node.domain) === "zero" || ![...usedBy(node)].some((name) => names.has(name))) continue;
    for (const name of node.output) if (name !== "" && isReal(g.value(name).type)) names.add(name);
  }
  return names;
}

/** A value of unknown type may be a number. */
const isReal = (type: TensorType | undefined): boolean =>
  type === undefined || type === "float32" || type === "float64" || type === "float16";

function onesLike(g: GraphBuilder, value: Value): Value {
  const [one] = g.alike(1, value);
  return g.know(g.expand(one, g.shapeOf(value)), { type: value.type, shape: value.shape });
}
