import type { Rows } from "../autodiff/training-spec.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";

/** Whether the card's model is taught classes by number: cross entropy over labels. */
export const hasClasses = ({ loss }: Card): boolean => loss?.kind === "crossEntropy";

/** Classes that a label may name: those of the card, else as many as the output that is compared has numbers. */
export function classesOf(card: Card): number {
  if (card.labels.length > 0) return card.labels.length;
  const last = outputDims(card)?.at(-1);
  return typeof last === "number" ? last : Number.POSITIVE_INFINITY;
}

function outputDims(card: Card): readonly (number | string)[] | undefined {
  return card.outputs.find(({ name }) => name === card.loss?.output)?.dims;
}

/**
 * Shape of one target, so that it is compared place by place: that of the output without its batch, and of logits
 * without their classes.
 * @param width  numbers in a target, where the card does not say how the output is shaped
 */
export function targetDims(card: Card, width: number): number[] {
  const dims = outputDims(card)?.slice(1);
  if (hasClasses(card)) return width === 1 ? [] : [width];
  if (!dims?.every((dim) => typeof dim === "number")) return [width];
  if (sizeOf(dims) !== width)
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the data",
      reason: `output ${card.loss?.output} has ${sizeOf(dims)} numbers, the target ${width}`,
      remedy: "Compare the card's `loss.output` and `target` with its outputs.",
    });
  return dims;
}

/** Targets of examples as a tensor, [count, …dims]; labels are int32. */
export function targetTensor(card: Card, values: Float64Array, width: number): Tensor {
  const dims = [values.length / width, ...targetDims(card, width)];
  return hasClasses(card)
    ? tensor("int32", dims, Int32Array.from(values))
    : tensor("float32", dims, Float32Array.from(values));
}

/** How the targets in a tensor are read. */
export function targetRows(data: string, { type, dims }: Tensor, offset = 0): Rows {
  return { data, type, dims: dims.slice(1), ...(offset === 0 ? {} : { offset }) };
}

/** Why a number is no target for the card's model; undefined when it is one. NaN stands for "there is none". */
export function targetFault(card: Card, value: number): string | undefined {
  if (!Number.isFinite(value)) return `the target is no number`;
  if (hasClasses(card)) {
    const classes = classesOf(card);
    const isIgnored = value === card.loss?.ignoreLabel;
    if (!isIgnored && !(Number.isInteger(value) && value >= 0 && value < classes))
      return `label ${value} is out of range: the model has classes 0 to ${classes - 1}`;
  } else if (card.loss?.kind === "binaryCrossEntropy" && !(value >= 0 && value <= 1))
    return `label ${value} is out of range: it is 0, 1 or between`;
  return undefined;
}

/**
 * Refuses data from which nothing can be learnt.
 * @param values  the targets, one after the other; undefined when the model reconstructs its input
 * @throws TidegateError DATA_UNUSABLE
 */
export function checkTargets(card: Card, what: string, examples: number, values: Float64Array | undefined): void {
  const fault = (reason: string, remedy: string) => new TidegateError("DATA_UNUSABLE", { what, reason, remedy });
  if (examples === 0) throw fault("it has no example", "Widen the time range, or look at what the data hold.");
  const isClass = hasClasses(card) || card.loss?.kind === "binaryCrossEntropy";
  if (!values || !isClass || card.task === "language") return;
  const [label] = values;
  if (values.every((value) => value === label))
    throw fault(`all ${examples} examples have label ${label}`, "Add examples of the other classes.");
}
