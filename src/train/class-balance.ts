import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";
import { readTargets } from "./example-rows.ts";

/**
 * Weights examples so that every class that is trained on counts as much as any other, and all together as much as before.
 *
 * @param examples  the training slice: classes are counted there alone; the weights of others stay
 * @throws TidegateError DATA_UNUSABLE when examples have no single label
 */
export function balanceClasses(card: Card, data: DataSet, examples: Int32Array): DataSet {
  const labels = readTargets(data, examples);
  if (labels?.data.length !== examples.length)
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the data",
      reason: "its examples do not have one label each, by which classes could be balanced",
      remedy: "Balance classes only for models of the task classification.",
    });
  const isBinary = card.loss?.kind === "binaryCrossEntropy";
  const classes = Array.from(labels.data as ArrayLike<number>, (label) =>
    isBinary ? Number(label > 0.5) : Number(label),
  );
  const totals = new Map<number, number>();
  let all = 0;
  classes.forEach((label, i) => {
    if (label === card.loss?.ignoreLabel) return;
    const weight = data.weights[examples[i] as number] as number;
    totals.set(label, (totals.get(label) ?? 0) + weight);
    all += weight;
  });
  const weights = Float32Array.from(data.weights);
  classes.forEach((label, i) => {
    const example = examples[i] as number;
    const total = totals.get(label);
    if (total) weights[example] = ((weights[example] as number) * all) / (totals.size * total);
  });
  return { ...data, weights };
}
