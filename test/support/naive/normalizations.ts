import { axisOf, broadcastAt, NdArray, placesOf } from "./array.ts";
import { need, numberOf } from "./attributes.ts";
import type { Naive } from "./operators.ts";

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;

/** Each number less the mean of its group, divided by the group's deviation. */
function standardised(x: NdArray, epsilon: number, groupOf: (index: readonly number[]) => string): NdArray {
  const groups = new Map<string, number[]>();
  for (const index of placesOf(x.dims)) {
    const group = groupOf(index);
    groups.set(group, [...(groups.get(group) ?? []), x.at(index)]);
  }
  const moments = new Map(
    [...groups].map(([group, numbers]) => {
      const centre = mean(numbers);
      return [group, [centre, Math.sqrt(mean(numbers.map((value) => (value - centre) ** 2)) + epsilon)] as const];
    }),
  );
  return NdArray.from(x.dims, (index) => {
    const [centre, deviation] = moments.get(groupOf(index)) ?? [0, 1];
    return (x.at(index) - centre) / deviation;
  });
}

/** Times the scale and plus the bias of the channel. */
const perChannel = (hat: NdArray, scale: NdArray, bias: NdArray | undefined): NdArray =>
  NdArray.from(hat.dims, (index) => {
    const channel = [index[1] ?? 0];
    return hat.at(index) * scale.at(channel) + (bias?.at(channel) ?? 0);
  });

/** Layers that normalise, in training (BatchNormalization with `training_mode`) and in inference. */
export const normalizations: Readonly<Record<string, Naive>> = {
  BatchNormalization: (inputs, attributes) => {
    const [x, scale, bias, mu, variance] = [0, 1, 2, 3, 4].map((place) => need(inputs, place));
    if (!x || !scale || !mu || !variance) throw new Error("an input is missing");
    const epsilon = numberOf(attributes, "epsilon", 1e-5);
    if (numberOf(attributes, "training_mode", 0) === 1)
      return [
        perChannel(
          standardised(x, epsilon, ([, channel]) => `${channel}`),
          scale,
          bias,
        ),
      ];
    const hat = NdArray.from(x.dims, (index) => {
      const channel = [index[1] ?? 0];
      return (x.at(index) - mu.at(channel)) / Math.sqrt(variance.at(channel) + epsilon);
    });
    return [perChannel(hat, scale, bias)];
  },
  LayerNormalization: (inputs, attributes) => {
    const [x, scale, bias] = [need(inputs, 0), need(inputs, 1), inputs[2]];
    const axis = axisOf(numberOf(attributes, "axis", -1), x.rank);
    const hat = standardised(x, numberOf(attributes, "epsilon", 1e-5), (index) => index.slice(0, axis).join());
    return [
      NdArray.from(
        x.dims,
        (index) => hat.at(index) * broadcastAt(scale, index) + (bias ? broadcastAt(bias, index) : 0),
      ),
    ];
  },
  InstanceNormalization: (inputs, attributes) => {
    const [x, scale, bias] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)];
    const epsilon = numberOf(attributes, "epsilon", 1e-5);
    return [
      perChannel(
        standardised(x, epsilon, (index) => index.slice(0, 2).join()),
        scale,
        bias,
      ),
    ];
  },
  GroupNormalization: (inputs, attributes) => {
    const [x, scale, bias] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)];
    const size = (x.dims[1] ?? 1) / numberOf(attributes, "num_groups", 1);
    const groupOf = ([n = 0, channel = 0]: readonly number[]): string => `${n},${Math.floor(channel / size)}`;
    return [perChannel(standardised(x, numberOf(attributes, "epsilon", 1e-5), groupOf), scale, bias)];
  },
  Dropout: (inputs) => [need(inputs, 0)],
};
