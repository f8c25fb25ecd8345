import type { Value } from "../../onnx/graph-builder.ts";
import { expandLike, reshapeLike } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Sums and means over axes. */
export const reduction: Readonly<Record<string, GradientRule>> = {
  ReduceSum: (at) => [spread(at, at.dY)],
  ReduceMean: (at) => {
    const { g, a, y, dY } = at;
    const share = g.div(g.cast(g.op("Size", [y]), a.type ?? "float32"), g.cast(g.op("Size", [a]), a.type ?? "float32"));
    return [spread(at, g.mul(dY, share))];
  },
};

/** Repeats the gradient of a reduction over the axes that it went away with. */
function spread(at: NodeGradient, gradient: Value): Value {
  const { g, a, y } = at;
  if (at.number("keepdims", 1) === 1) return expandLike(g, gradient, a);
  const axes = at.fixed(1, "the axes");
  const rank = at.rank(a, "what is reduced");
  const gone = (axes ?? []).map((axis) => (axis < 0 ? axis + rank : axis));
  const isAll = gone.length === 0 && at.number("noop_with_empty_axes", 0) === 0;
  const kept = a.shape?.map((dim, axis) => (isAll || gone.includes(axis) ? 1 : dim));
  const like = g.know(g.unsqueeze(gradient, isAll ? Array.from({ length: rank }, (_, axis) => axis) : gone), {
    type: y.type,
    shape: kept,
  });
  return expandLike(g, gone.length === 0 && !isAll ? reshapeLike(g, gradient, a) : like, a);
}
