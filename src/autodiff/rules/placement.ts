import { reshapeLike, unbroadcast } from "../broadcasting.ts";
import type { GradientRule } from "../rule.ts";

/** Operators that move or choose numbers without changing them. */
export const placement: Readonly<Record<string, GradientRule>> = {
  Identity: ({ dY }) => [dY],
  Reshape: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Flatten: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Squeeze: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Unsqueeze: ({ g, a, dY }) => [reshapeLike(g, dY, a)],
  Where: ({ g, a, b, c, y, dY }) => [
    undefined,
    unbroadcast(g, g.where(a, dY, 0), b, y),
    unbroadcast(g, g.where(a, 0, dY), c, y),
  ],
};
