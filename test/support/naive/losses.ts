import { NdArray, placesOf } from "./array.ts";
import { need, numberOf, textOf } from "./attributes.ts";
import type { Naive, NaiveAttributes, NaiveInputs } from "./operators.ts";
import { logSoftmax } from "./reductions.ts";

function likelihood(logs: NdArray, inputs: NaiveInputs, attributes: NaiveAttributes): NdArray {
  const labels = need(inputs, 1);
  const ignored = numberOf(attributes, "ignore_index", Number.NaN);
  const weightOf = (label: number): number => (label === ignored ? 0 : (inputs[2]?.data[label] ?? 1));
  const each = NdArray.from(labels.dims, (place) => {
    const label = labels.at(place);
    return label === ignored ? 0 : -weightOf(label) * logs.at([place[0] ?? 0, label, ...place.slice(1)]);
  });
  const reduction = textOf(attributes, "reduction", "mean");
  if (reduction === "none") return each;
  const sum = each.data.reduce((a, b) => a + b, 0);
  const weight = [...placesOf(labels.dims)].reduce((total, place) => total + weightOf(labels.at(place)), 0);
  return new NdArray([], [reduction === "mean" ? sum / weight : sum]);
}

export const losses: Readonly<Record<string, Naive>> = {
  NegativeLogLikelihoodLoss: (inputs, attributes) => [likelihood(need(inputs, 0), inputs, attributes)],
  SoftmaxCrossEntropyLoss: (inputs, attributes) => {
    const logs = logSoftmax(need(inputs, 0), 1);
    return [likelihood(logs, inputs, attributes), logs];
  },
};
