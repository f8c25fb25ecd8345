import type { GradientRule } from "./rule.ts";
import { activation } from "./rules/activation.ts";
import { arithmetic } from "./rules/arithmetic.ts";
import { convolution } from "./rules/convolution.ts";
import { mathFunction } from "./rules/function.ts";
import { labelLoss } from "./rules/label-loss.ts";
import { normalization } from "./rules/normalization.ts";
import { placement } from "./rules/placement.ts";
import { pooling } from "./rules/pooling.ts";
import { product } from "./rules/product.ts";
import { recurrent } from "./rules/recurrent.ts";
import { reduction } from "./rules/reduction.ts";
import { section } from "./rules/section.ts";
import { selection } from "./rules/selection.ts";

/** The rule of each operator that a gradient can pass through. */
export const gradients: Readonly<Record<string, GradientRule>> = {
  ...arithmetic,
  ...mathFunction,
  ...activation,
  ...product,
  ...reduction,
  ...placement,
  ...section,
  ...selection,
  ...labelLoss,
  ...recurrent,
  ...convolution,
  ...pooling,
  ...normalization,
};

/** Rules that take the gradient at each output of a node; all others know but that at the first. */
export const ofSeveralOutputs: ReadonlySet<string> = new Set([
  "GRU",
  "LSTM",
  "RNN",
  "SoftmaxCrossEntropyLoss",
  "Split",
]);

/** Operators whose result does not change when their inputs change a little, or is no real number: no gradient passes. */
export const zeroGradients: ReadonlySet<string> = new Set(
  (
    "ArgMax ArgMin And Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Ceil Constant " +
    "ConstantOfShape Equal EyeLike Floor Greater GreaterOrEqual HammingWindow HannWindow Hardmax IsInf IsNaN Less " +
    "LessOrEqual Multinomial NonMaxSuppression NonZero Not Or RandomNormal RandomNormalLike RandomUniform " +
    "RandomUniformLike Round Shape Sign Size Xor"
  ).split(" "),
);

/** rule: a gradient passes; zero: none does, and that is right; refused: a model with it on the way cannot be trained. */
export type OperatorClass = "rule" | "zero" | "refused";

/** What becomes of a gradient at an operator. */
export function classOf(opType: string, domain = ""): OperatorClass {
  if (domain !== "" && domain !== "ai.onnx") return "refused";
  if (zeroGradients.has(opType)) return "zero";
  return Object.hasOwn(gradients, opType) ? "rule" : "refused";
}
