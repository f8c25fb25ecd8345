import { expect, test } from "vitest";
import { backward } from "../../../src/autodiff/backward.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";

// onnxruntime has these kernels in float32 alone, MaxPool apart.
const options = { float64: false, needs: "sizes" } as const;
// With the bias, which is added.
const linear = [
  [0, 2],
  [1, 2],
];

checkGradients(
  "Conv",
  [
    { inputs: [real([2, 3, 7, 6]), real([4, 3, 3, 3]), real([4])] },
    { inputs: [real([2, 3, 7, 6]), real([4, 3, 3, 2])], attributes: { pads: [1, 0, 2, 1], strides: [2, 3] } },
    { inputs: [real([1, 4, 6, 6]), real([6, 2, 3, 3]), real([6])], attributes: { group: 2, pads: [1, 1, 1, 1] } },
    { inputs: [real([2, 4, 7, 7]), real([4, 1, 3, 3])], attributes: { group: 4, strides: [2, 2], dilations: [2, 1] } },
    { inputs: [real([2, 2, 9, 8]), real([3, 2, 3, 2])], attributes: { dilations: [2, 3], pads: [2, 1, 0, 3] } },
    { inputs: [real([2, 3, 5, 8]), real([2, 3, 3, 4])], attributes: { auto_pad: "SAME_UPPER", strides: [2, 3] } },
    { inputs: [real([2, 3, 5, 8]), real([2, 3, 2, 4])], attributes: { auto_pad: "SAME_LOWER", strides: [1, 2] } },
    { inputs: [real([3, 2, 11]), real([5, 2, 4]), real([5])], attributes: { strides: [3], pads: [1, 2] } },
    { inputs: [real([2, 4, 9]), real([4, 2, 3])], attributes: { group: 2, dilations: [3] } },
    { inputs: [real([2, 2, 4, 5, 4]), real([3, 2, 2, 3, 2]), real([3])], attributes: { pads: [1, 0, 1, 0, 1, 0] } },
    { inputs: [real([1, 2, 5, 4, 5]), real([2, 1, 3, 2, 2])], attributes: { group: 2, strides: [2, 1, 3] } },
    { inputs: [real([2, 5, 4, 4]), real([3, 5, 1, 1])] },
    { inputs: [real([2, 5, 5, 4]), real([3, 5, 1, 1])], attributes: { strides: [2, 2] } },
    { inputs: [real([1, 12, 5, 6]), real([3, 12, 3, 3])], attributes: { auto_pad: "VALID" } },
  ],
  { ...options, linear },
);

checkGradients(
  "ConvTranspose",
  [
    { inputs: [real([2, 3, 4, 5]), real([3, 2, 3, 3]), real([2])] },
    { inputs: [real([2, 3, 4, 3]), real([3, 2, 3, 3])], attributes: { strides: [2, 3], pads: [1, 0, 0, 2] } },
    { inputs: [real([1, 4, 3, 3]), real([4, 3, 2, 3]), real([6])], attributes: { group: 2, strides: [2, 2] } },
    { inputs: [real([2, 3, 3, 4]), real([3, 1, 3, 2])], attributes: { group: 3, dilations: [2, 3] } },
    {
      inputs: [real([1, 2, 3, 3]), real([2, 2, 3, 3])],
      attributes: { strides: [3, 2], output_padding: [2, 1], pads: [1, 1, 1, 1] },
    },
    { inputs: [real([1, 2, 3, 4]), real([2, 3, 4, 3])], attributes: { auto_pad: "SAME_UPPER", strides: [2, 2] } },
    { inputs: [real([1, 2, 3, 4]), real([2, 3, 4, 3])], attributes: { auto_pad: "SAME_LOWER", strides: [2, 2] } },
    { inputs: [real([1, 2, 3, 4]), real([2, 3, 3, 3])], attributes: { output_shape: [6, 8], strides: [2, 2] } },
    { inputs: [real([1, 2, 3, 4]), real([2, 3, 3, 2])], attributes: { output_shape: [4, 7], strides: [2, 2] } },
    { inputs: [real([2, 3, 5]), real([3, 2, 4]), real([2])], attributes: { strides: [3], pads: [1, 1] } },
    { inputs: [real([1, 2, 3, 2, 3]), real([2, 2, 2, 3, 2])], attributes: { strides: [1, 2, 2] } },
  ],
  { ...options, linear },
);

checkGradients(
  "MaxPool",
  [
    { inputs: [real([2, 2, 4, 4])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { inputs: [real([1, 2, 5, 7])], attributes: { kernel_shape: [2, 3], strides: [2, 3] } },
    { inputs: [real([2, 1, 9])], attributes: { kernel_shape: [4], strides: [4] } },
    { inputs: [real([1, 1, 4, 4, 6])], attributes: { kernel_shape: [2, 2, 3], strides: [2, 2, 3] } },
    { inputs: [real([2, 2, 5, 5])], attributes: { kernel_shape: [3, 3] } },
    { inputs: [real([2, 2, 6, 5])], attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
    { inputs: [real([1, 2, 6, 7])], attributes: { kernel_shape: [2, 2], dilations: [2, 3] } },
    { inputs: [real([1, 2, 6, 5])], attributes: { kernel_shape: [3, 2], strides: [2, 2], ceil_mode: 1 } },
    { inputs: [real([2, 1, 5, 5])], attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 } },
    { inputs: [real([1, 2, 5, 6])], attributes: { kernel_shape: [3, 2], strides: [2, 1], auto_pad: "SAME_LOWER" } },
    { inputs: [real([2, 2, 8])], attributes: { kernel_shape: [3], strides: [2], auto_pad: "SAME_UPPER" } },
    { inputs: [real([2, 2, 8])], attributes: { kernel_shape: [2], strides: [3] } },
  ],
  { needs: "sizes" },
);

checkGradients(
  "AveragePool",
  [
    { inputs: [real([2, 2, 4, 4])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { inputs: [real([1, 2, 5, 7])], attributes: { kernel_shape: [2, 3], strides: [2, 3] } },
    { inputs: [real([2, 2, 5, 5])], attributes: { kernel_shape: [3, 3] } },
    { inputs: [real([2, 2, 6, 5])], attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
    {
      inputs: [real([2, 2, 6, 5])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 0, 2, 1], count_include_pad: 1 },
    },
    { inputs: [real([1, 2, 6, 7])], attributes: { kernel_shape: [2, 2], dilations: [2, 3] } },
    { inputs: [real([1, 2, 6, 5])], attributes: { kernel_shape: [3, 2], strides: [2, 2], ceil_mode: 1 } },
    { inputs: [real([1, 2, 5, 6])], attributes: { kernel_shape: [3, 2], strides: [2, 1], auto_pad: "SAME_LOWER" } },
    { inputs: [real([2, 2, 8])], attributes: { kernel_shape: [3], strides: [2], auto_pad: "SAME_UPPER" } },
    { inputs: [real([1, 2, 4, 3, 4])], attributes: { kernel_shape: [2, 2, 2], strides: [1, 2, 2] } },
  ],
  { ...options, linear: [[0]] },
);

const shapes = [
  [2, 3, 4],
  [1, 1, 1],
  [2, 2, 3, 4],
  [3, 1, 2, 2],
  [1, 4, 5, 1],
  [2, 1, 1, 7],
  [1, 2, 2, 3, 2],
  [2, 5, 6],
];
const wholes = [...shapes, [4, 2, 3, 3], [1, 3, 8]].map((dims) => ({ inputs: [real(dims)] }));
checkGradients("GlobalAveragePool", wholes, { ...options, linear: [[0]] });
checkGradients("GlobalMaxPool", wholes, options);

test.each([
  ["side by side", [2], [2]],
  ["that overlap", [2], [1]],
])(
  "MaxPool with windows %s: the first of equal maxima gets the gradient, and no infinity leaks",
  async (_name, kernel, strides) => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [1, 1, 6]);
    const y = g.op("MaxPool", [x], { kernel_shape: kernel, strides });
    const isTiled = strides[0] === 2;
    const pooled = g.know(y, { shape: [1, 1, isTiled ? 3 : 5] });
    const [dX] = backward(g, g.sum(g.where(g.greater(pooled, 1e9), 0, pooled)), [x]);
    if (dX) g.output("dX", dX);
    const values = [2, 2, Number.NEGATIVE_INFINITY, 5, Number.POSITIVE_INFINITY, 1];
    const found = numbers((await runModel(g.model, { x: floats([1, 1, 6], values) })).dX);
    expect(found).toEqual(isTiled ? [1, 0, 0, 1, 0, 0] : [1, 1, 0, 1, 0, 0]);
  },
);
