import type { GradientRule } from "../rule.ts";

/** Functions that networks put between their layers, element by element or along one axis. */
export const activation: Readonly<Record<string, GradientRule>> = {
  // By comparison, not as a product with Sign: 0 times infinity would be no number.
  Relu: ({ g, y, dY }) => [g.where(g.greater(y, 0), dY, 0)],
  Sigmoid: ({ g, y, dY }) => [g.mul(dY, g.mul(y, g.sub(1, y)))],
  Tanh: ({ g, y, dY }) => [g.mul(dY, g.sub(1, g.square(y)))],
  Softmax: (at) => {
    const { g, y, dY } = at;
    const axis = at.number("axis", -1);
    return [g.mul(y, g.sub(dY, g.sum(g.mul(dY, y), [axis], { keep: true })))];
  },
  LogSoftmax: (at) => {
    const { g, y, dY } = at;
    const axis = at.number("axis", -1);
    return [g.sub(dY, g.mul(g.exp(y), g.sum(dY, [axis], { keep: true })))];
  },
};
