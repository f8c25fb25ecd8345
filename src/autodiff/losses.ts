import { TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";

/** What is minimised. */
export type LossSpec = {
  readonly kind: keyof typeof losses;
  /** Huber: up to this error it is a square, beyond it a line. Default 1. */
  readonly delta?: number;
  /** Cross entropy: weight of each class. Default: all 1. */
  readonly classWeights?: readonly number[];
  /** Cross entropy: positions with this label count nothing. */
  readonly ignoreLabel?: number;
  /** Share of the samples of a batch, those with the largest loss, that count nothing: likely events. Default 0. */
  readonly trim?: number;
};

/** The loss at each position, and how much each counts (undefined: all the same). Both [batch, …]. */
type Elementwise = { readonly loss: Value; readonly weight?: Value };

type LossRule = (g: GraphBuilder, output: Value, target: Value, spec: LossSpec) => Elementwise;

/**
 * Losses by name.
 *
 * - mse, mae, huber: output and target [batch, …], real numbers
 * - crossEntropy: output [batch, …, classes], unscaled (logits); target [batch, …], int64 labels
 * - binaryCrossEntropy: output [batch, …], unscaled (logits); target of that shape, 0 to 1
 */
export const losses = {
  mse: (g, output, target) => ({ loss: g.square(g.sub(output, target)) }),
  mae: (g, output, target) => ({ loss: g.abs(g.sub(output, target)) }),
  huber: (g, output, target, { delta = 1 }) => {
    const error = g.sub(output, target);
    const size = g.abs(error);
    const square = g.mul(g.square(error), 0.5);
    return { loss: g.where(g.lessOrEqual(size, delta), square, g.mul(g.sub(size, delta / 2), delta)) };
  },
  crossEntropy: (g, output, target, { classWeights, ignoreLabel }) => {
    const isIgnored = ignoreLabel === undefined ? undefined : g.equal(target, ignoreLabel);
    // A label that is ignored may be no class at all; class 0 stands in and counts nothing.
    const label = isIgnored ? g.where(isIgnored, 0, target) : target;
    const scores = isIgnored ? g.where(g.unsqueeze(isIgnored, [-1]), 0, output) : output;
    const log = g.logSoftmax(scores, -1);
    const chosen = g.op("GatherElements", [log, g.unsqueeze(label, [-1])], { axis: -1 }, { name: "chosen" });
    const loss = g.know(g.neg(g.squeeze(chosen, [-1])), { shape: target.shape });
    const byClass = classWeights
      ? g.gather(g.constant(tensor("float32", [classWeights.length], Float32Array.from(classWeights))), label)
      : undefined;
    const counted = isIgnored ? g.cast(g.not(isIgnored), "float32") : undefined;
    const weight = byClass && counted ? g.mul(byClass, counted) : (byClass ?? counted);
    return weight ? { loss, weight } : { loss };
  },
  // max(x, 0) - x t + log(1 + e^-|x|): exact where the sigmoid itself would round to 0 or 1.
  binaryCrossEntropy: (g, output, target) => {
    const soft = g.log(g.add(g.exp(g.neg(g.abs(output))), 1));
    return { loss: g.add(g.sub(g.relu(output), g.mul(output, target)), soft) };
  },
} as const satisfies Record<string, LossRule>;

/**
 * The loss of a batch: the mean over positions and samples, each counted by its weight.
 *
 * @param output, target  see `losses`
 * @param sampleWeights  float32 [batch]: class balance, replay, and 0 for rows that fill up a short batch. What such a
 *   row holds has no influence, be it infinite or not a number.
 * @returns `loss` (scalar), `weight` (scalar: what it was divided by) and `perSample` float32 [batch]
 */
export function batchLoss(
  g: GraphBuilder,
  output: Value,
  target: Value,
  sampleWeights: Value,
  spec: LossSpec,
): { loss: Value; weight: Value; perSample: Value } {
  const rule: LossRule = losses[spec.kind];
  const { loss: each, weight: eachWeight } = rule(g, onlyCounted(g, output, sampleWeights), target, spec);
  const { rank } = each;
  if (rank === undefined) throw new TidegateError("BUG", { detail: "the loss of each position has an unknown rank" });
  const inner = Array.from({ length: rank - 1 }, (_, axis) => axis + 1);
  // Positions within a sample: their weighted sum, and the sum of their weights.
  const summed = g.sum(eachWeight ? g.mul(each, eachWeight) : each, inner);
  const parts = eachWeight
    ? g.sum(eachWeight, inner)
    : g.div(g.cast(g.op("Size", [each]), "float32"), batchOf(g, each));
  // Where, not a product: 0 times what is not a number is not a number.
  const counts = g.greater(sampleWeights, 0);
  const perSample = g.where(counts, g.div(summed, g.max(parts, 1e-12)), 0);
  const kept = spec.trim ? g.mul(sampleWeights, trimmed(g, perSample, sampleWeights, spec.trim)) : sampleWeights;
  const weights = g.mul(kept, parts);
  const weight = g.sum(weights);
  const loss = g.div(g.sum(g.where(counts, g.mul(kept, summed), 0)), g.max(weight, 1e-12));
  return { loss, weight, perSample };
}

/** Zeros for rows that do not count: through this, no gradient goes back to them. */
function onlyCounted(g: GraphBuilder, output: Value, sampleWeights: Value): Value {
  const inner = Array.from({ length: (output.rank ?? 1) - 1 }, (_, axis) => axis + 1);
  const isCounted = g.unsqueeze(g.greater(sampleWeights, 0), inner);
  return g.know(g.where(isCounted, output, 0), output);
}

const batchOf = (g: GraphBuilder, value: Value): Value =>
  g.cast(g.squeeze(g.slice(g.shapeOf(value), { starts: [0], ends: [1] }), [0]), "float32");

/** 1 for the samples that stay, 0 for the share `trim` with the largest loss. Of the rows that count, never all are cut. */
function trimmed(g: GraphBuilder, perSample: Value, sampleWeights: Value, trim: number): Value {
  const isReal = g.cast(g.greater(sampleWeights, 0), "float32");
  const count = g.sum(isReal);
  const cut = g.op("Floor", [g.mul(count, trim)]);
  const size = g.shapeOf(perSample);
  const [ordered] = g.ops("TopK", 2, [perSample, size], { axis: 0, largest: 1, sorted: 1 });
  // The loss of the first sample that stays; rows that fill up have a loss of 0 and stand last.
  const limit = ordered ? g.gather(ordered, g.cast(cut, "int64")) : perSample;
  return g.cast(g.lessOrEqual(perSample, limit), "float32");
}
