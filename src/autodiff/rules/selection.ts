import { tensor } from "../../base/tensor.ts";
import type { Value } from "../../onnx/graph-builder.ts";
import { addElements, returnToPositions } from "../positions.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Operators that read or write elements by index. An element that is read more than once gets the sum. */
export const selection: Readonly<Record<string, GradientRule>> = {
  Gather: (at) => [gathered(at)],
  GatherElements: (at) => {
    const { g, a: x, b: index, dY } = at;
    return [addElements(g, g.zerosLike(x), index, dY, at.number("axis", 0))];
  },
  GatherND: (at) => {
    const { g, a: x, b: index, dY } = at;
    const batch = at.number("batch_dims", 0);
    if (batch === 0) return [addRows(at, index, dY)];
    return [returnToPositions(g, x, dY, (positions) => g.op("GatherND", [positions, index], { batch_dims: batch }))];
  },
  ScatterElements: (at) => {
    const { g, b: index, c: updates, dY } = at;
    const axis = at.number("axis", 0);
    const dUpdates = g.op("GatherElements", [dY, index], { axis });
    if (isAdding(at)) return [dY, undefined, dUpdates];
    return [g.op("ScatterElements", [dY, index, g.zerosLike(updates)], { axis }), undefined, dUpdates];
  },
  ScatterND: (at) => {
    const { g, b: index, c: updates, dY } = at;
    const dUpdates = g.op("GatherND", [dY, index]);
    if (isAdding(at)) return [dY, undefined, dUpdates];
    return [g.op("ScatterND", [dY, index, g.zerosLike(updates)]), undefined, dUpdates];
  },
  OneHot: (at) => {
    const { g, a: index, b: depth, dY } = at;
    const marks = g.constant(tensor("float32", [2], Float32Array.of(0, 1)));
    const isOn = g.greater(g.op("OneHot", [index, depth, marks], { axis: at.number("axis", -1) }), 0);
    const [off, on] = [g.sum(g.where(isOn, 0, dY)), g.sum(g.where(isOn, dY, 0))];
    // Of an index or a depth the fraction does not count.
    return [g.zerosLike(index), g.zerosLike(depth), g.concat([g.unsqueeze(off, [0]), g.unsqueeze(on, [0])], 0)];
  },
  TopK: (at) => {
    const {
      g,
      a: x,
      outputs: [, index],
      dY,
    } = at;
    if (!index) throw at.refusal("its indices are left out", "Give its second output a name.");
    return [addElements(g, g.zerosLike(x), index, dY, at.number("axis", -1))];
  },
};

function gathered(at: NodeGradient): Value {
  const { g, a: x, b: index, dY } = at;
  const axis = at.number("axis", 0);
  // Rows of a table (an embedding) are added as they are.
  if (axis === 0) return addRows(at, g.unsqueeze(index, [-1]), dY);
  return returnToPositions(g, x, dY, (positions) => g.gather(positions, index, axis));
}

/** Zeros like x, with updates added at the places that the last axis of the index gives. */
function addRows({ g, a: x }: NodeGradient, index: Value, updates: Value): Value {
  const place = index.type === "int64" ? index : g.cast(index, "int64");
  return g.op("ScatterND", [g.zerosLike(x), place, updates], { reduction: "add" });
}

/** Whether updates are added, not put in place.
 * @throws TidegateError MODEL_UNTRAINABLE for products and extremes */
function isAdding(at: NodeGradient): boolean {
  const reduction = at.text("reduction", "none");
  if (reduction === "none" || reduction === "add") return reduction === "add";
  throw at.refusal(`no gradient is known for reduction ${reduction}`, "Use reduction none or add.");
}
