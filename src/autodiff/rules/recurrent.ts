import { tensor } from "../../base/tensor.ts";
import type { Value } from "../../onnx/graph-builder.ts";
import type { GradientRule, Gradients, NodeGradient } from "../rule.ts";
import { type Cell, type CellRun, cells, productOverSteps } from "./recurrent-cells.ts";

/**
 * Recurrent layers. The operator itself gives every hidden state, so the gates of all steps are computed again at once;
 * what remains is one Scan against the direction of the recurrence, whose body is one product and a few small nodes.
 *
 * Operands by place: X [time, batch, inputs], W, R, B, sequence lengths, first hidden state, first cell state, peepholes.
 */
export const recurrent: Readonly<Record<string, GradientRule>> = {
  RNN: (at) => differentiate(at, cells.RNN),
  GRU: (at) => differentiate(at, cells.GRU),
  LSTM: (at) => differentiate(at, cells.LSTM),
};

function differentiate(at: NodeGradient, cell: Cell): Gradients {
  refuseVariants(at, cell);
  const { g } = at;
  const runs = directionsOf(at).map((isReverse, index) => runOf(at, cell, index, isReverse));
  const found = runs.map((run) => ({ run, ...cell.backward(g, run) }));
  const stack = (values: readonly Value[]): Value =>
    g.concat(
      values.map((value) => g.unsqueeze(value, [0])),
      0,
    );
  const overSteps = (gates: Value): Value => g.sum(gates, [0, 1]);
  return [
    found.map(({ run, dGates }) => g.matmul(dGates, run.w)).reduce((sum, each) => g.add(sum, each)),
    stack(found.map(({ run, dGates }) => productOverSteps(g, dGates, run.x))),
    stack(found.map(({ dR }) => dR)),
    stack(found.map(({ dGates, dRecurrent }) => g.concat([overSteps(dGates), overSteps(dRecurrent)], 0))),
    undefined,
    stack(found.map(({ dFirst }) => dFirst)),
    stack(found.map(({ dFirst, dFirstCell }) => dFirstCell ?? dFirst)),
  ];
}

/** For each direction, whether it walks from the end. */
function directionsOf(at: NodeGradient): readonly boolean[] {
  const direction = at.text("direction", "forward");
  return direction === "bidirectional" ? [false, true] : [direction === "reverse"];
}

/** The operands and results of one direction, without its axis. */
function runOf(at: NodeGradient, cell: Cell, index: number, isReverse: boolean): CellRun {
  const { g, a: x } = at;
  const isOnly = directionsOf(at).length === 1;
  const own = (value: Value, axis: number): Value =>
    isOnly ? g.squeeze(value, [axis]) : g.gather(value, tensor("int64", [], BigInt64Array.of(BigInt(index))), axis);
  const [time, batch] = [x.shape?.[0] ?? null, x.shape?.[1] ?? null];
  const hidden = hiddenSize(at);
  const state = { type: x.type, shape: [batch, hidden] };
  const zeros = (): Value => g.know(zeroState(at, hidden), state);
  const stateOf = (value: Value | undefined): Value => (value ? g.know(own(value, 0), state) : zeros());
  const sequence = (value: Value): Value => g.know(own(value, 1), { type: x.type, shape: [time, batch, hidden] });

  const h = sequence(allStates(at));
  const first = stateOf(at.inputs[5]);
  const others = isReverse
    ? g.slice(h, { starts: [1], ends: [2 ** 31], axes: [0] })
    : g.slice(h, { starts: [0], ends: [-1], axes: [0] });
  const edge = g.unsqueeze(first, [0]);
  const previous = g.know(g.concat(isReverse ? [others, edge] : [edge, others], 0), h);
  const bias = at.inputs[3] && own(at.inputs[3], 0);
  const [wb, rb] = bias ? g.split(bias, [cell.gates * hidden, cell.gates * hidden], 2) : [];
  const dY = at.upstream[0];
  return {
    at,
    x,
    w: own(at.b, 0),
    r: own(at.c, 0),
    bias: wb && rb ? { w: wb, r: rb } : undefined,
    hidden,
    isReverse,
    h,
    previous,
    firstCell: cell.hasCellState ? stateOf(at.inputs[6]) : undefined,
    dH: dY ? sequence(dY) : g.know(g.zerosLike(h), h),
    dLast: stateOf(at.upstream[1]),
    dLastCell: cell.hasCellState ? stateOf(at.upstream[2]) : undefined,
  };
}

/** Every hidden state [time, directions, batch, hidden]; a model may not have asked for them. */
function allStates(at: NodeGradient): Value {
  const { g, node, a: x } = at;
  if (at.outputs[0]) return at.outputs[0];
  const name = g.freshName("states");
  node.output[0] = name;
  return g.know(g.value(name), { type: x.type });
}

function zeroState(at: NodeGradient, hidden: number): Value {
  const { g, a: x } = at;
  const batch = x.shape?.[1];
  if (typeof batch === "number") return g.expand(g.zero(x), [batch, hidden]);
  const size = g.concat([g.slice(g.shapeOf(x), { starts: [1], ends: [2] }), [hidden]], 0);
  return g.expand(g.zero(x), size);
}

function hiddenSize(at: NodeGradient): number {
  const hidden = at.number("hidden_size", undefined) ?? at.c.shape?.at(-1);
  if (typeof hidden === "number") return hidden;
  throw at.refusal("its hidden size is not known", "Set the attribute hidden_size when the model is exported.");
}

/** Forms of the operators that are rare, and whose gradient is not written. */
function refuseVariants(at: NodeGradient, { activations }: Cell): void {
  const refuse = (what: string): never => {
    throw at.refusal(`${what} has no gradient here`, "Export the layer without it.");
  };
  if (at.inputs[4]) refuse("a length for each sequence");
  if (at.inputs[7]) refuse("a peephole");
  if (at.number("layout", 0) !== 0) refuse("the layout with the batch first");
  if (at.number("clip", undefined) !== undefined) refuse("clipping inside the cell");
  if (at.number("input_forget", 0) !== 0) refuse("coupling of input and forget gate");
  const given = at.node.attribute.find(({ name }) => name === "activations");
  const names = given?.strings.map((bytes) => new TextDecoder().decode(bytes)) ?? [];
  const expected = directionsOf(at).flatMap(() => activations);
  if (names.length > 0 && names.join(" ").toLowerCase() !== expected.join(" ").toLowerCase())
    refuse(`the activation ${names.join(", ")}`);
}
