import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { int64s } from "../onnx/tensor-proto.ts";
import { isStatic, type Shape } from "../onnx/value-info.ts";

/**
 * Sums a gradient over the axes along which `like` was repeated by broadcasting, so that it has the shape of `like`.
 * @param full  the value that was broadcast to; the gradient has its shape
 */
export function unbroadcast(g: GraphBuilder, gradient: Value, like: Value, full: Value): Value {
  const to = like.shape;
  const from = full.shape;
  if (!to || !from) return unbroadcastWhileRunning(g, gradient, like, full);
  const offset = from.length - to.length;
  const axes: number[] = [];
  for (const [axis, size] of from.entries()) {
    const own = axis < offset ? 1 : to[axis - offset];
    if (own === size && own !== null && axis >= offset) continue;
    if (own === 1) axes.push(axis);
    // Two sizes that cannot be told apart now: which of them was repeated shows when it runs.
    else return unbroadcastWhileRunning(g, gradient, like, full);
  }
  const summed = axes.length === 0 ? gradient : g.sum(gradient, axes, { keep: offset === 0 });
  if (offset === 0 || axes.length === offset) return g.know(summed, { shape: to });
  return reshapeLike(g, summed, like);
}

/** The axes where `like` has size 1, found when it runs: summing over a size of 1 changes nothing. */
function unbroadcastWhileRunning(g: GraphBuilder, gradient: Value, like: Value, full: Value): Value {
  const own = g.shapeOf(like);
  const ones = g.sub(g.op("Size", [g.shapeOf(full)]), g.op("Size", [own]));
  const padded = g.concat([g.op("ConstantOfShape", [g.unsqueeze(ones, [0])], { value: int64s([1]) }), own], 0);
  const axes = g.squeeze(g.op("NonZero", [g.equal(padded, [1])]), [0]);
  const summed = g.op("ReduceSum", [gradient, axes], { keepdims: 1, noop_with_empty_axes: 1 });
  return reshapeLike(g, summed, like);
}

/** Gives a value the shape of another, which has as many elements. */
export function reshapeLike(g: GraphBuilder, value: Value, like: Value): Value {
  const { type } = value;
  const { shape } = like;
  const target = shape && fixedTarget(shape);
  // A size of 0 is one here, not "as it was".
  const reshaped = target ? g.reshape(value, target) : g.op("Reshape", [value, g.shapeOf(like)], { allowzero: 1 });
  return g.know(reshaped, { type, shape });
}

/** A shape that Reshape can take as a constant: at most one size is left to it, and none is 0. */
function fixedTarget(shape: Shape): readonly number[] | undefined {
  const open = shape.filter((dim) => typeof dim !== "number");
  if (open.length > 1 || shape.includes(0)) return undefined;
  return shape.map((dim) => (typeof dim === "number" ? dim : -1));
}

/** Repeats a value to the shape of another. */
export function expandLike(g: GraphBuilder, value: Value, like: Value): Value {
  const { shape } = like;
  return g.know(g.expand(value, isStatic(shape) ? shape : g.shapeOf(like)), { type: value.type, shape });
}
