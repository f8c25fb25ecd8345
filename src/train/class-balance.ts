import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";
import { readTargets } from "./example-rows.ts";

/**
 * Weights examples so that every class that is trained on counts as much as any other, and all together as much as before.
 *
 * @param examples  the training slice: classes are counted there alone. Examples outside it get the weight of their class
 *   too, since early stopping looks at them
 * @throws TidegateError DATA_UNUSABLE when examples have no single label
 */
export function balanceClasses(card: Card, data: DataSet, examples: Int32Array): DataSet {
  const everything = Int32Array.from(data.first, (_, example) => example);
  const labels = readTargets(data, everything);
  if (labels?.data.length !== data.first.length)
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the data",
      reason: "its examples do not have one label each, by which classes could be balanced",
      remedy: "Balance classes only for models of the task classification.",
    });
  const isBinary = card.loss?.kind === "binaryCrossEntropy";
  const classOf = (example: number): number => {
    const label = Number(labels.data[example]);
    return isBinary ? Number(label > 0.5) : label;
  };
  const totals = new Map<number, number>();
  let all = 0;
  for (const example of examples) {
    const label = classOf(example);
    if (label === card.loss?.ignoreLabel) continue;
    const weight = data.weights[example] as number;
    totals.set(label, (totals.get(label) ?? 0) + weight);
    all += weight;
  }
  const weights = data.weights.map((weight, example) => {
    const total = totals.get(classOf(example));
    return total ? (weight * all) / (totals.size * total) : weight;
  });
  return { ...data, weights };
}
