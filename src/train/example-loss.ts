import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import { crossEntropy } from "./metrics-classification.ts";

type Loss = NonNullable<Card["loss"]>;

/**
 * The loss of each example by the card: the mean over its positions, without trimming and sample weights. Worked out in
 * float64 and apart from the graph that trains, so that one holds the other to account.
 *
 * @param output, target  [examples, …]; of cross entropy output is [examples, …, classes]
 * @param scale  what both are divided by: one example's worth, or [examples, …]; axes are matched from the last
 * @throws TidegateError DATA_UNUSABLE when output and target have different shapes
 */
export function exampleLosses(loss: Loss, output: Tensor, target: Tensor, scale?: Tensor): Float64Array {
  const count = target.dims[0] ?? 0;
  const positions = sizeOf(target.dims.slice(1));
  const width = loss.kind === "crossEntropy" ? (output.dims.at(-1) ?? 1) : 1;
  if (sizeOf(output.dims) !== count * positions * width)
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the data",
      reason: `output ${loss.output} is [${output.dims.join(", ")}], its target [${target.dims.join(", ")}]`,
      remedy: "Compare the card's `loss.output` and `target`.",
    });
  const given = output.data as ArrayLike<number>;
  const wanted = target.data as ArrayLike<number>;
  const unit = scale ? unitReader(scale, target.dims) : () => 1;
  return Float64Array.from({ length: count }, (_, example) => {
    let sum = 0;
    let weights = 0;
    for (let i = example * positions; i < (example + 1) * positions; i++) {
      if (loss.kind === "crossEntropy") {
        const label = Number(wanted[i]);
        if (label === loss.ignoreLabel) continue;
        const weight = loss.classWeights?.[label] ?? 1;
        sum += weight * crossEntropy(given, label, i * width, width);
        weights += weight;
      } else {
        const by = unit(i);
        sum += elementLoss(loss, Number(given[i]) / by, Number(wanted[i]) / by);
        weights++;
      }
    }
    return weights === 0 ? 0 : sum / weights;
  });
}

function elementLoss({ kind, delta = 1 }: Loss, output: number, target: number): number {
  if (kind === "binaryCrossEntropy")
    return Math.max(output, 0) - output * target + Math.log1p(Math.exp(-Math.abs(output)));
  const size = Math.abs(output - target);
  if (kind === "mae") return size;
  if (kind === "huber") return size <= delta ? 0.5 * size * size : delta * (size - delta / 2);
  return size * size;
}

/** The unit at each flat position of a tensor of shape `dims`, broadcast as in a graph. */
function unitReader(scale: Tensor, dims: readonly number[]): (flat: number) => number {
  const strides: { every: number; size: number; stride: number }[] = [];
  let stride = 1;
  let every = 1;
  for (let axis = 1; axis <= dims.length; axis++) {
    const own = scale.dims[scale.dims.length - axis] ?? 1;
    const size = dims[dims.length - axis] as number;
    if (own !== 1) strides.push({ every, size, stride });
    stride *= own;
    every *= size;
  }
  return (flat) => {
    let at = 0;
    for (const { every, size, stride } of strides) at += (Math.floor(flat / every) % size) * stride;
    return Number(scale.data[at]);
  };
}
