import { unbroadcast } from "../broadcasting.ts";
import type { GradientRule } from "../rule.ts";

/** Sums, products and quotients, with broadcasting. */
export const arithmetic: Readonly<Record<string, GradientRule>> = {
  Add: ({ g, a, b, y, dY }) => [unbroadcast(g, dY, a, y), unbroadcast(g, dY, b, y)],
  Sub: ({ g, a, b, y, dY }) => [unbroadcast(g, dY, a, y), unbroadcast(g, g.neg(dY), b, y)],
  Mul: ({ g, a, b, y, dY }) => [unbroadcast(g, g.mul(dY, b), a, y), unbroadcast(g, g.mul(dY, a), b, y)],
  Div: ({ g, a, b, y, dY }) => {
    const dA = g.div(dY, b);
    return [unbroadcast(g, dA, a, y), unbroadcast(g, g.neg(g.mul(dA, y)), b, y)];
  },
  Neg: ({ g, dY }) => [g.neg(dY)],
  Identity: ({ dY }) => [dY],
};
