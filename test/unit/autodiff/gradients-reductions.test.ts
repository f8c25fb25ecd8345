import { type GradientCase, given, indices, ints, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const on = (from = -1, to = 1): GradientCase[] => [
  { inputs: [real([2, 3], from, to)] },
  { inputs: [real([2, 3], from, to)], attributes: { keepdims: 0 } },
  { inputs: [real([2, 3], from, to), ints(1)] },
  { inputs: [real([2, 3, 4], from, to), ints(-1)], attributes: { keepdims: 0 } },
  { inputs: [real([2, 3, 2], from, to), ints(0, -1)], attributes: { keepdims: 0 } },
  { inputs: [real([2, 3, 2, 2], from, to), ints(2, 0)] },
  { inputs: [real([3, 2], from, to), ints()], attributes: { keepdims: 0 } },
  { inputs: [real([3, 2], from, to), ints()], attributes: { noop_with_empty_axes: 1, keepdims: 0 } },
  { inputs: [real([3, 2], from, to)], attributes: { noop_with_empty_axes: 1 } },
  { inputs: [real([2, 3, 2], from, to), indices([2], [1, 2])], attributes: { keepdims: 0 } },
  { inputs: [real([1, 5, 1], from, to), ints(0, 2)], attributes: { keepdims: 0 } },
  { inputs: [real([], from, to)] },
];

checkGradients("ReduceSum", on(), { linear: [[0]] });
checkGradients("ReduceMean", on(), { linear: [[0]] });
checkGradients("ReduceMax", on());
checkGradients("ReduceMin", on());
checkGradients("ReduceL1", on());
checkGradients("ReduceL2", on());
checkGradients("ReduceSumSquare", on());
checkGradients("ReduceLogSum", on(0.2, 2));
checkGradients("ReduceLogSumExp", on(-3, 3));
checkGradients("ReduceProd", [
  ...on(),
  { inputs: [given([2, 3], [0, 2, 3, 0, 0, 4]), ints(1)] },
  { inputs: [given([4], [2, 0, -1, 3])], attributes: { keepdims: 0 } },
]);

const axes = (from = -1, to = 1): (GradientCase & { attributes?: { axis: number } })[] => [
  { inputs: [real([5], from, to)] },
  { inputs: [real([1], from, to)] },
  { inputs: [real([2, 3], from, to)] },
  { inputs: [real([2, 3], from, to)], attributes: { axis: 0 } },
  { inputs: [real([2, 3, 4], from, to)], attributes: { axis: 1 } },
  { inputs: [real([2, 3, 4], from, to)], attributes: { axis: -2 } },
  { inputs: [real([2, 3, 4], from, to)], attributes: { axis: -3 } },
  { inputs: [real([2, 1, 4], from, to)], attributes: { axis: 1 } },
  { inputs: [real([2, 2, 3, 2], from, to)], attributes: { axis: 2 } },
  { inputs: [real([3, 7], from, to)], attributes: { axis: 1 } },
];
checkGradients("Softmax", axes(-4, 4));
checkGradients("LogSoftmax", axes(-4, 4));

checkGradients(
  "CumSum",
  axes().map(({ inputs: [x], attributes }, index) => ({
    inputs: [x ?? null, { kind: "int64", dims: [], values: [attributes?.axis ?? -1] }],
    attributes: { exclusive: index & 1, reverse: (index >> 1) & 1 },
  })),
  { linear: [[0]] },
);
