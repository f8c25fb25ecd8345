import type { GradientRule } from "../rule.ts";

/** Functions of one number, as the textbook has them. */
export const mathFunction: Readonly<Record<string, GradientRule>> = {
  Abs: ({ g, a, dY }) => [g.mul(dY, g.sign(a))],
  Exp: ({ g, y, dY }) => [g.mul(dY, y)],
  Log: ({ g, a, dY }) => [g.div(dY, a)],
  Sqrt: ({ g, y, dY }) => [g.div(dY, g.mul(y, 2))],
  Reciprocal: ({ g, y, dY }) => [g.neg(g.mul(dY, g.square(y)))],
  Erf: ({ g, a, dY }) => [g.mul(dY, g.mul(g.exp(g.neg(g.square(a))), 2 / Math.sqrt(Math.PI)))],
  Sin: ({ g, a, dY }) => [g.mul(dY, g.cos(a))],
  Cos: ({ g, a, dY }) => [g.neg(g.mul(dY, g.sin(a)))],
  Tan: ({ g, y, dY }) => [g.mul(dY, g.add(g.square(y), 1))],
  Asin: ({ g, a, dY }) => [g.div(dY, g.sqrt(g.sub(1, g.square(a))))],
  Acos: ({ g, a, dY }) => [g.neg(g.div(dY, g.sqrt(g.sub(1, g.square(a)))))],
  Atan: ({ g, a, dY }) => [g.div(dY, g.add(g.square(a), 1))],
  Sinh: ({ g, a, dY }) => [g.mul(dY, g.op("Cosh", [a]))],
  Cosh: ({ g, a, dY }) => [g.mul(dY, g.op("Sinh", [a]))],
  Asinh: ({ g, a, dY }) => [g.div(dY, g.sqrt(g.add(g.square(a), 1)))],
  Acosh: ({ g, a, dY }) => [g.div(dY, g.sqrt(g.sub(g.square(a), 1)))],
  Atanh: ({ g, a, dY }) => [g.div(dY, g.sub(1, g.square(a)))],
};
