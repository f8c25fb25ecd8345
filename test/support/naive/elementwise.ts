import { map, NdArray, zip } from "./array.ts";
import { need, numberOf, textOf } from "./attributes.ts";
import type { Naive, NaiveAttributes } from "./operators.ts";

/** Functions of one number. */
const unary = (f: (x: number, attributes: NaiveAttributes) => number): Naive => {
  return (inputs, attributes) => [map(need(inputs, 0), (x) => f(x, attributes))];
};

/** Functions of several numbers, with broadcasting. */
const nary = (f: (...numbers: number[]) => number): Naive => {
  return (inputs) => [
    zip(
      inputs.map((_, place) => need(inputs, place)),
      f,
    ),
  ];
};

/** 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!: all terms have one sign. */
export function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const alphaOf = (attributes: NaiveAttributes, fallback: number): number => numberOf(attributes, "alpha", fallback);

export const elementwise: Readonly<Record<string, Naive>> = {
  Add: nary((a, b) => a + b),
  Sub: nary((a, b) => a - b),
  Mul: nary((a, b) => a * b),
  Div: nary((a, b) => a / b),
  Pow: nary((a, b) => a ** b),
  Sum: nary((...numbers) => numbers.reduce((a, b) => a + b)),
  Mean: nary((...numbers) => numbers.reduce((a, b) => a + b) / numbers.length),
  Max: nary(Math.max),
  Min: nary(Math.min),
  Mod: nary((a, b) => a % b),
  Where: nary((condition, yes, no) => (condition !== 0 ? yes : no)),
  PRelu: nary((x, slope) => (x < 0 ? slope * x : x)),
  Neg: unary((x) => -x),
  Identity: unary((x) => x),
  Cast: unary((x) => x),
  Abs: unary(Math.abs),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tan: unary(Math.tan),
  Asin: unary(Math.asin),
  Acos: unary(Math.acos),
  Atan: unary(Math.atan),
  Sinh: unary(Math.sinh),
  Cosh: unary(Math.cosh),
  Asinh: unary(Math.asinh),
  Acosh: unary(Math.acosh),
  Atanh: unary(Math.atanh),
  Erf: unary(erf),
  Relu: unary((x) => Math.max(x, 0)),
  LeakyRelu: unary((x, attributes) => (x < 0 ? alphaOf(attributes, 0.01) * x : x)),
  ThresholdedRelu: unary((x, attributes) => (x > alphaOf(attributes, 1) ? x : 0)),
  Shrink: unary((x, attributes) => {
    const bias = numberOf(attributes, "bias", 0);
    return Math.abs(x) > numberOf(attributes, "lambd", 0.5) ? x - Math.sign(x) * bias : 0;
  }),
  Elu: unary((x, attributes) => (x < 0 ? alphaOf(attributes, 1) * Math.expm1(x) : x)),
  Selu: unary((x, attributes) => {
    const alpha = alphaOf(attributes, 1.6732632423543772);
    return numberOf(attributes, "gamma", 1.0507009873554805) * (x > 0 ? x : alpha * Math.expm1(x));
  }),
  Celu: unary((x, attributes) => {
    const alpha = alphaOf(attributes, 1);
    return Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  }),
  Sigmoid: unary(sigmoid),
  Tanh: unary(Math.tanh),
  HardSigmoid: unary((x, attributes) =>
    Math.max(0, Math.min(1, alphaOf(attributes, 0.2) * x + numberOf(attributes, "beta", 0.5))),
  ),
  HardSwish: unary((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  Softplus: unary((x) => Math.log1p(Math.exp(x))),
  Softsign: unary((x) => x / (1 + Math.abs(x))),
  Mish: unary((x) => x * Math.tanh(Math.log1p(Math.exp(x)))),
  Gelu: unary((x, attributes) =>
    textOf(attributes, "approximate", "none") === "tanh"
      ? (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : (x / 2) * (1 + erf(x / Math.SQRT2)),
  ),
  Range: (inputs) => {
    const [start = 0, limit = 0, delta = 1] = [0, 1, 2].map((place) => need(inputs, place).data[0]);
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    return [NdArray.from([count], ([nth = 0]) => start + nth * delta)];
  },
  Clip: (inputs) => {
    const [, low, high] = inputs;
    const bounds = [low?.data[0] ?? Number.NEGATIVE_INFINITY, high?.data[0] ?? Number.POSITIVE_INFINITY] as const;
    return [map(need(inputs, 0), (x) => Math.min(Math.max(x, bounds[0]), bounds[1]))];
  },
};
