import { type GradientCase, held, indices, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const weights = held([3], [0.5, 2, 1.25]);
const cases: GradientCase[] = [
  { inputs: [real([2, 3]), indices([2], [0, 2])] },
  { inputs: [real([2, 3]), indices([2], [1, 1])], attributes: { reduction: "sum" } },
  { inputs: [real([2, 3]), indices([2], [1, 0])], attributes: { reduction: "none" } },
  { inputs: [real([2, 3]), indices([2], [0, 2]), weights] },
  { inputs: [real([2, 3]), indices([2], [0, 2]), weights], attributes: { reduction: "sum" } },
  { inputs: [real([3, 3]), indices([3], [0, -1, 2])], attributes: { ignore_index: -1 } },
  { inputs: [real([3, 3]), indices([3], [2, 2, 1]), weights], attributes: { ignore_index: 1 } },
  { inputs: [real([3, 3]), indices([3], [2, 2, 1]), weights], attributes: { ignore_index: 2, reduction: "none" } },
  { inputs: [real([2, 3, 2]), indices([2, 2], [0, 1, 2, 2])] },
  { inputs: [real([2, 3, 2, 1]), indices([2, 2, 1], [0, 1, 2, 9]), weights], attributes: { ignore_index: 9 } },
];
checkGradients("NegativeLogLikelihoodLoss", cases, { linear: [[0]] });
checkGradients(
  "SoftmaxCrossEntropyLoss",
  cases.flatMap((each, index) => [{ ...each, outputs: 1 }, ...(index % 3 === 0 ? [{ ...each, outputs: 2 }] : [])]),
);
