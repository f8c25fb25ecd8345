import { sizeOf } from "../../base/tensor.ts";
import type { Operand, Value } from "../../onnx/graph-builder.ts";
import { isStatic } from "../../onnx/value-info.ts";
import { expandLike } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Reductions over axes, and running sums. y and dY are given back their reduced axes, and then broadcast against x. */
export const reduction: Readonly<Record<string, GradientRule>> = {
  ReduceSum: (at) => [expandLike(at.g, kept(at, at.dY), at.a)],
  ReduceMean: (at) => [expandLike(at.g, kept(at, at.g.mul(at.dY, share(at))), at.a)],
  ReduceMax: (at) => extreme(at),
  ReduceMin: (at) => extreme(at),
  // The product of the others: by division where no other is 0, so that one 0 among the numbers does no harm.
  ReduceProd: (at) => {
    const { g, a: x, dY } = at;
    const [one] = g.alike(1, x);
    const isZero = g.equal(x, 0);
    const rest = g.where(isZero, one, x);
    const others = g.sub(again(at, "ReduceSum", g.where(isZero, one, 0)), g.where(isZero, one, 0));
    return [g.mul(kept(at, dY), g.where(g.equal(others, 0), g.div(again(at, "ReduceProd", rest), rest), 0))];
  },
  ReduceSumSquare: (at) => [at.g.mul(kept(at, at.dY), at.g.mul(at.a, 2))],
  ReduceL1: (at) => [at.g.mul(kept(at, at.dY), at.g.sign(at.a))],
  // Of all zeros there is no slope; 0 is one of those that would do.
  ReduceL2: (at) => {
    const { g, a: x, y, dY } = at;
    const unit = g.where(g.equal(y, 0), 0, g.div(dY, y));
    return [g.mul(kept(at, unit), x)];
  },
  ReduceLogSum: (at) => [expandLike(at.g, kept(at, at.g.div(at.dY, at.g.exp(at.y))), at.a)],
  ReduceLogSumExp: (at) => [at.g.mul(kept(at, at.dY), at.g.exp(at.g.sub(at.a, kept(at, at.y))))],
  CumSum: (at) => {
    const { g, b: axis, dY } = at;
    const reverse = 1 - at.number("reverse", 0);
    return [g.op("CumSum", [dY, axis], { exclusive: at.number("exclusive", 0), reverse })];
  },
};

/** A value of the result's shape with the reduced axes as 1. A scalar broadcasts without them. */
function kept(at: NodeGradient, value: Value): Value {
  const [, axes] = at.inputs;
  return axes === undefined || at.number("keepdims", 1) === 1 ? value : at.g.unsqueeze(value, axes);
}

/** Reduces another value of x's shape over the same axes, and keeps them. */
const again = (at: NodeGradient, op: string, value: Value): Value =>
  at.g.op(op, [value, at.inputs[1] ?? null], {
    keepdims: 1,
    noop_with_empty_axes: at.number("noop_with_empty_axes", 0),
  });

/** One divided by the number of elements behind each mean. */
function share({ g, a, y }: NodeGradient): Operand {
  if (isStatic(a.shape) && isStatic(y.shape)) return sizeOf(y.shape) / sizeOf(a.shape);
  const count = (value: Value): Value => g.cast(g.op("Size", [value]), a.type ?? "float32");
  return g.div(count(y), count(a));
}

/** The gradient goes to the largest (smallest) number; those that are equal share it. */
function extreme(at: NodeGradient): Value[] {
  const { g, a: x, y, dY } = at;
  const isChosen = g.equal(x, kept(at, y));
  const count = again(at, "ReduceSum", g.where(isChosen, g.alike(1, x)[0], 0));
  return [g.where(isChosen, g.div(kept(at, dY), count), 0)];
}
