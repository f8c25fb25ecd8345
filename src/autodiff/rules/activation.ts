import { unbroadcast } from "../broadcasting.ts";
import type { GradientRule } from "../rule.ts";

/**
 * Functions that networks put between their layers.
 *
 * Where a function has a kink, its slope there is that of the left side, but for Clip, whose edges belong to the inside.
 * By comparison, not as a product with 0 or 1: 0 times infinity would be no number.
 */
export const activation: Readonly<Record<string, GradientRule>> = {
  Relu: ({ g, y, dY }) => [g.where(g.greater(y, 0), dY, 0)],
  LeakyRelu: (at) => {
    const { g, a, dY } = at;
    return [g.where(g.greater(a, 0), dY, g.mul(dY, at.number("alpha", 0.01)))];
  },
  PRelu: ({ g, a: x, b: slope, y, dY }) => {
    const isOn = g.greater(x, 0);
    return [g.where(isOn, dY, g.mul(dY, slope)), unbroadcast(g, g.where(isOn, 0, g.mul(dY, x)), slope, y)];
  },
  ThresholdedRelu: (at) => {
    const { g, a, dY } = at;
    return [g.where(g.greater(a, at.number("alpha", 1)), dY, 0)];
  },
  Shrink: (at) => {
    const { g, a, dY } = at;
    return [g.where(g.greater(g.abs(a), at.number("lambd", 0.5)), dY, 0)];
  },
  Clip: ({ g, a: x, inputs: [, low, high], dY }) => {
    const isBelow = low && g.less(x, low);
    const isAbove = high && g.greater(x, high);
    const isOut = isBelow && isAbove ? g.or(isBelow, isAbove) : (isBelow ?? isAbove);
    return [
      isOut ? g.where(isOut, 0, dY) : dY,
      isBelow && g.sum(g.where(isBelow, dY, 0)),
      isAbove && g.sum(g.where(isAbove, dY, 0)),
    ];
  },
  // Left of 0 the functions are α(eˣ - 1), so that their slopes are y + α.
  Elu: (at) => {
    const { g, a: x, y, dY } = at;
    return [g.where(g.greater(x, 0), dY, g.mul(dY, g.add(y, at.number("alpha", 1))))];
  },
  Celu: (at) => {
    const { g, a: x, y, dY } = at;
    return [g.where(g.greater(x, 0), dY, g.mul(dY, g.add(g.div(y, at.number("alpha", 1)), 1)))];
  },
  Selu: (at) => {
    const { g, a: x, y, dY } = at;
    const gamma = at.number("gamma", 1.0507009873554805);
    const left = g.add(y, gamma * at.number("alpha", 1.6732632423543772));
    return [g.where(g.greater(x, 0), g.mul(dY, gamma), g.mul(dY, left))];
  },
  Sigmoid: ({ g, y, dY }) => [g.mul(dY, g.mul(y, g.sub(1, y)))],
  HardSigmoid: (at) => {
    const { g, y, dY } = at;
    const isBetween = g.and(g.greater(y, 0), g.less(y, 1));
    return [g.where(isBetween, g.mul(dY, at.number("alpha", 0.2)), 0)];
  },
  HardSwish: ({ g, a: x, dY }) => {
    const between = g.mul(dY, g.add(g.div(x, 3), 0.5));
    return [g.where(g.lessOrEqual(x, -3), 0, g.where(g.less(x, 3), between, dY))];
  },
  Tanh: ({ g, y, dY }) => [g.mul(dY, g.sub(1, g.square(y)))],
  Softplus: ({ g, a, dY }) => [g.mul(dY, g.sigmoid(a))],
  Softsign: ({ g, a, dY }) => [g.div(dY, g.square(g.add(g.abs(a), 1)))],
  Mish: ({ g, a: x, dY }) => {
    const t = g.tanh(g.op("Softplus", [x]));
    return [g.mul(dY, g.add(t, g.mul(g.mul(x, g.sigmoid(x)), g.sub(1, g.square(t)))))];
  },
  Gelu: (at) => {
    const { g, a: x, dY } = at;
    if (at.text("approximate", "none") !== "tanh") {
      const area = g.mul(g.add(g.erf(g.mul(x, Math.SQRT1_2)), 1), 0.5);
      const density = g.mul(g.exp(g.mul(g.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return [g.mul(dY, g.add(area, g.mul(x, density)))];
    }
    // y = x/2 (1 + tanh u), u = c (x + k x³)
    const c = Math.sqrt(2 / Math.PI);
    const k = 0.044715;
    const square = g.square(x);
    const t = g.tanh(g.mul(g.mul(x, c), g.add(g.mul(square, k), 1)));
    const slope = g.mul(g.add(g.mul(square, 3 * k), 1), c);
    const right = g.mul(g.mul(x, g.sub(1, g.square(t))), slope);
    return [g.mul(dY, g.mul(g.add(g.add(t, 1), right), 0.5))];
  },
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
