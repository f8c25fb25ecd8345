import { given, held, onAnyShape, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

checkGradients("Abs", onAnyShape());
checkGradients("Exp", onAnyShape(-3, 3));
checkGradients("Log", onAnyShape(0.1, 4));
checkGradients("Sqrt", onAnyShape(0.1, 4));
checkGradients("Reciprocal", onAnyShape(0.3, 3));
checkGradients("Erf", onAnyShape(-2, 2), { float64: false });
checkGradients("Sin", onAnyShape(-3, 3));
checkGradients("Cos", onAnyShape(-3, 3));
checkGradients("Tan", onAnyShape(), { float64: false });
checkGradients("Asin", onAnyShape(-0.9, 0.9), { float64: false });
checkGradients("Acos", onAnyShape(-0.9, 0.9), { float64: false });
checkGradients("Atan", onAnyShape(-3, 3), { float64: false });
checkGradients("Sinh", onAnyShape(-2, 2), { float64: false });
checkGradients("Cosh", onAnyShape(-2, 2), { float64: false });
checkGradients("Asinh", onAnyShape(-3, 3), { float64: false });
checkGradients("Acosh", onAnyShape(1.2, 4), { float64: false });
checkGradients("Atanh", onAnyShape(-0.9, 0.9), { float64: false });
checkGradients("Neg", onAnyShape(), { linear: [[0]] });

checkGradients("Relu", onAnyShape());
checkGradients("LeakyRelu", onAnyShape(-1, 1, [{}, { alpha: 0.3 }]), { float64: false });
checkGradients("ThresholdedRelu", onAnyShape(-3, 3, [{}, { alpha: 0.3 }]), { float64: false });
checkGradients("Shrink", onAnyShape(-2, 2, [{ lambd: 0.5 }, { lambd: 0.25, bias: 0.5 }]));
checkGradients("Elu", onAnyShape(-3, 3, [{}, { alpha: 0.5 }]), { float64: false });
checkGradients("Celu", onAnyShape(-3, 3, [{}, { alpha: 0.5 }]), { float64: false });
checkGradients("Selu", onAnyShape(-3, 3, [{}, { alpha: 1.5, gamma: 1.25 }]), { float64: false });
checkGradients("Sigmoid", onAnyShape(-4, 4));
checkGradients("Tanh", onAnyShape(-3, 3));
checkGradients("HardSigmoid", onAnyShape(-4, 4, [{}, { alpha: 0.25, beta: 0.375 }]), { float64: false });
checkGradients("HardSwish", onAnyShape(-5, 5), { float64: false });
checkGradients("Softplus", onAnyShape(-4, 4), { float64: false });
checkGradients("Softsign", onAnyShape(-4, 4), { float64: false });
checkGradients("Mish", onAnyShape(-4, 4), { float64: false });
checkGradients("Gelu", onAnyShape(-3, 3, [{}, { approximate: "tanh" }]), { float64: false });

const scalar = (value: number) => held([], [value]);
checkGradients("Clip", [
  { inputs: [real([7]), scalar(-0.5), scalar(0.5)] },
  { inputs: [real([2, 3]), scalar(-0.25)] },
  { inputs: [real([3, 4]), null, scalar(0.125)] },
  { inputs: [real([])] },
  { inputs: [real([5, 1, 2]), scalar(-9), scalar(9)] },
  { inputs: [real([6]), scalar(0.5), scalar(0.75)] },
  { inputs: [real([0]), scalar(0), scalar(1)] },
  { inputs: [real([4, 4]), real([], -0.6, -0.4), real([], 0.3, 0.5)] },
  { inputs: [real([4, 4]), real([], -0.3, -0.1)] },
  { inputs: [real([2, 2, 2]), null, real([], 0.1, 0.2)] },
]);
checkGradients(
  "PRelu",
  [
    { inputs: [real([7]), real([1])] },
    { inputs: [real([7]), real([7])] },
    { inputs: [real([2, 3]), real([3])] },
    { inputs: [real([2, 3]), real([2, 1])] },
    { inputs: [real([2, 3]), real([1, 1])] },
    { inputs: [real([2, 3, 4]), real([3, 1])] },
    { inputs: [real([2, 3, 2, 2]), real([3, 1, 1])] },
    { inputs: [real([2, 3, 2, 2]), real([1, 3, 1, 1])] },
    { inputs: [real([2, 3, 2, 2]), real([2, 3, 2, 2])] },
    { inputs: [real([1, 4]), real([4])] },
  ],
  { float64: false },
);

const ranges: readonly [number, number, number][] = [
  [0, 5, 1],
  [0.5, 3, 0.75],
  [3, 0, -1],
  [-2, 2, 0.625],
  [1, 1, 1],
  [2, 1, 1],
  [0.25, 0.5, 1],
  [10, -10, -7],
  [-1, 0, 0.3],
  [5, 6.1, 0.5],
];
checkGradients(
  "Range",
  ranges.map(([start, limit, delta]) => ({
    inputs: [given([], [start]), held([], [limit + delta / 4]), given([], [delta])],
  })),
);
