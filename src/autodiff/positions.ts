import { sizeOf } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { scalar } from "../onnx/tensor-proto.ts";
import { isStatic } from "../onnx/value-info.ts";
import { reshapeLike } from "./broadcasting.ts";

/**
 * The gradient of any operator that picks elements of x, be it with strides, by index, or more than once: the same is
 * picked from a tensor that holds each element's position, and the gradients are added up at the positions found there.
 *
 * @param pick  applies the operator, as it was applied to x, to an int64 tensor of x's shape
 */
export function returnToPositions(g: GraphBuilder, x: Value, dY: Value, pick: (positions: Value) => Value): Value {
  const size = isStatic(x.shape) ? g.constant(scalar("int64", sizeOf(x.shape))) : g.op("Size", [x]);
  const positions = reshapeLike(g, g.op("Range", [0, size, 1]), x);
  const picked = g.reshape(pick(positions), [-1]);
  const zeros = g.expand(g.zero(x), g.unsqueeze(size, [0]));
  return reshapeLike(g, addElements(g, zeros, picked, g.reshape(dY, [-1])), x);
}

/** Adds updates along an axis, at the places that an index of their shape gives. */
export const addElements = (g: GraphBuilder, data: Value, index: Value, updates: Value, axis = 0): Value =>
  g.op("ScatterElements", [data, index, updates], { axis, reduction: "add" });
