import type { Value } from "../../onnx/graph-builder.ts";
import { unbroadcast } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Sums, products, quotients and choices, with broadcasting. */
export const arithmetic: Readonly<Record<string, GradientRule>> = {
  Add: ({ g, a, b, y, dY }) => [unbroadcast(g, dY, a, y), unbroadcast(g, dY, b, y)],
  Sub: ({ g, a, b, y, dY }) => [unbroadcast(g, dY, a, y), unbroadcast(g, g.neg(dY), b, y)],
  Mul: ({ g, a, b, y, dY }) =>
    a === b ? [g.mul(dY, g.mul(a, 2))] : [unbroadcast(g, g.mul(dY, b), a, y), unbroadcast(g, g.mul(dY, a), b, y)],
  Div: ({ g, a, b, y, dY }) => {
    const dA = g.div(dY, b);
    return [unbroadcast(g, dA, a, y), unbroadcast(g, g.neg(g.mul(dA, y)), b, y)];
  },
  // a = n b + y with a whole number n, which stays.
  Mod: ({ g, a, b, y, dY }) => [unbroadcast(g, dY, a, y), unbroadcast(g, g.mul(dY, g.div(g.sub(y, a), b)), b, y)],
  Neg: ({ g, dY }) => [g.neg(dY)],
  Pow: (at) => {
    const { g, a, b, y, dY } = at;
    const p = a.type && b.type !== a.type ? g.cast(b, a.type) : b;
    // Where the exponent is 0, so is the slope, also at a base of 0; and a base of 0 stays 0 whatever the exponent.
    const slope = g.where(g.equal(p, 0), 0, g.mul(p, g.pow(a, g.sub(p, 1))));
    const dA = unbroadcast(g, g.mul(dY, slope), a, y);
    if (!at.wants(1)) return [dA];
    return [dA, unbroadcast(g, g.mul(dY, g.where(g.equal(y, 0), 0, g.mul(y, g.log(a)))), b, y)];
  },
  Sum: ({ g, inputs, y, dY }) => inputs.map((x) => x && unbroadcast(g, dY, x, y)),
  Mean: ({ g, inputs, y, dY }) => {
    const share = g.div(dY, inputs.length);
    return inputs.map((x) => x && unbroadcast(g, share, x, y));
  },
  // y = start + n delta
  Range: ({ g, a: start, b: limit, c: delta, y, dY }) => [
    g.sum(dY),
    g.zerosLike(limit),
    g.sum(g.mul(dY, g.div(g.sub(y, start), delta))),
  ],
  Max: (at) => chosen(at),
  Min: (at) => chosen(at),
};

/** The gradient goes to the inputs that were chosen; those that are equal share it. */
function chosen({ g, inputs, y, dY }: NodeGradient): (Value | undefined)[] {
  const isChosen = inputs.map((x) => x && g.equal(x, y));
  const counted = isChosen.flatMap((mask) => (mask ? [g.where(mask, g.alike(1, y)[0], 0)] : []));
  const share = counted.length === 1 ? dY : g.div(dY, g.op("Sum", counted));
  return inputs.map((x, index) => {
    const mask = isChosen[index];
    return x && mask && unbroadcast(g, g.where(mask, share, 0), x, y);
  });
}
