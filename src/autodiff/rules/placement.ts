import type { Value } from "../../onnx/graph-builder.ts";
import { reshapeLike, unbroadcast } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Operators that give numbers another shape, order or type, or repeat them. */
export const placement: Readonly<Record<string, GradientRule>> = {
  Identity: ({ dY }) => [dY],
  Reshape: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Flatten: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Squeeze: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Unsqueeze: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Transpose: (at) => {
    const perm = at.numbers("perm", undefined);
    return [
      at.g.transpose(
        at.dY,
        perm?.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
  Cast: ({ g, a, dY }) => [g.cast(dY, a.type ?? "float32")],
  // Of its second input nothing but the type counts.
  CastLike: ({ g, a, b, dY }) => [g.cast(dY, a.type ?? "float32"), g.zerosLike(b)],
  Expand: ({ g, a, y, dY }) => [unbroadcast(g, dY, a, y)],
  Tile: (at) => [tiled(at)],
  SpaceToDepth: (at) => [at.g.op("DepthToSpace", [at.dY], { blocksize: at.number("blocksize", 1) })],
  DepthToSpace: (at) => {
    if (at.text("mode", "DCR") === "DCR")
      return [at.g.op("SpaceToDepth", [at.dY], { blocksize: at.number("blocksize", 1) })];
    throw at.refusal("no gradient is known for mode CRD", "Export the model with mode DCR.");
  },
  Where: ({ g, a, b, c, y, dY }) => [
    undefined,
    unbroadcast(g, g.where(a, dY, 0), b, y),
    unbroadcast(g, g.where(a, 0, dY), c, y),
  ],
};

/** With every axis [size] seen as [repeats, size], the gradients of the repeats add up. */
function tiled(at: NodeGradient): Value {
  const { g, a: x, b: repeats, dY } = at;
  const rank = at.rank(x, "what is repeated");
  const pairs = g.concat([g.unsqueeze(repeats, [1]), g.unsqueeze(g.shapeOf(x), [1])], 1);
  const apart = g.reshape(dY, g.reshape(pairs, [-1]));
  return g.sum(
    apart,
    Array.from({ length: rank }, (_, axis) => 2 * axis),
  );
}
