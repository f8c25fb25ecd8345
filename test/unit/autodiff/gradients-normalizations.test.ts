import { type GradientCase, held, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const shapes = [
  [4, 2],
  [6, 3],
  [2, 3, 4],
  [3, 1, 5],
  [2, 2, 3, 4],
  [4, 3, 2, 2],
  [1, 2, 5, 3],
  [2, 1, 2, 3, 2],
  [5, 4],
  [3, 2, 3],
];
const cases = (write: (dims: readonly number[], channels: number, index: number) => GradientCase): GradientCase[] =>
  shapes.map((dims, index) => write(dims, dims[1] ?? 1, index));

checkGradients(
  "BatchNormalization",
  [
    ...cases((dims, channels, index) => ({
      inputs: [real(dims), real([channels]), real([channels]), real([channels]), real([channels], 0.5, 2)],
      attributes: index % 2 === 0 ? {} : { epsilon: 0.125 },
    })),
    ...cases((dims, channels, index) => ({
      inputs: [
        ...[real(dims, -2, 2), real([channels]), real([channels])],
        ...[held([channels], Array(channels).fill(0)), held([channels], Array(channels).fill(1))],
      ],
      attributes: { training_mode: 1, epsilon: index % 2 === 0 ? 0.015625 : 0.125 },
      outputs: 3,
    })),
  ],
  { needs: "rank" },
);

checkGradients(
  "LayerNormalization",
  [
    { inputs: [real([3, 5]), real([5]), real([5])], attributes: { epsilon: 0.015625 } },
    { inputs: [real([3, 5]), real([5])], attributes: { epsilon: 0.015625 } },
    { inputs: [real([2, 3, 4]), real([4]), real([4])], attributes: { axis: -1, epsilon: 0.0625 } },
    { inputs: [real([2, 3, 4]), real([3, 4]), real([3, 4])], attributes: { axis: 1, epsilon: 0.0625 } },
    { inputs: [real([2, 3, 4]), real([3, 4]), real([3, 4])], attributes: { axis: -2, epsilon: 0.0625 } },
    { inputs: [real([2, 3, 4]), real([2, 3, 4]), real([2, 3, 4])], attributes: { axis: 0, epsilon: 0.0625 } },
    { inputs: [real([2, 2, 3, 2]), real([2]), real([2])], attributes: { epsilon: 0.125 } },
    { inputs: [real([2, 2, 3, 2]), real([3, 2]), real([3, 2])], attributes: { axis: 2, epsilon: 0.125 } },
    { inputs: [real([7]), real([7]), real([7])], attributes: { epsilon: 0.0625 } },
    { inputs: [real([1, 9]), real([9]), real([9])], attributes: { epsilon: 0.0625 } },
  ],
  { float64: false, needs: "rank" },
);

const spatial = [
  [2, 3, 4],
  [3, 1, 5],
  [2, 2, 3, 4],
  [4, 3, 2, 2],
  [1, 2, 5, 3],
  [2, 1, 2, 3, 2],
  [3, 2, 3],
  [2, 4, 6],
  [1, 1, 3, 3],
  [2, 6, 2, 3],
];
checkGradients(
  "InstanceNormalization",
  spatial.map((dims) => ({
    inputs: [real(dims), real([dims[1] ?? 1]), real([dims[1] ?? 1])],
    attributes: { epsilon: 0.0625 },
  })),
  { float64: false, needs: "rank" },
);

const grouped: readonly (readonly [readonly number[], number])[] = [
  [[2, 4, 3], 2],
  [[1, 4, 2, 2], 4],
  [[2, 6, 2, 2], 3],
  [[3, 2, 4], 1],
  [[2, 3, 5], 3],
  [[2, 6, 2], 2],
  [[1, 8, 3], 4],
  [[2, 4, 2, 1, 2], 2],
  [[4, 2, 3, 2], 2],
  [[1, 6, 4], 1],
];
checkGradients(
  "GroupNormalization",
  grouped.map(([dims, groups]) => ({
    inputs: [real(dims), real([dims[1] ?? 1]), real([dims[1] ?? 1])],
    attributes: { epsilon: 0.0625, num_groups: groups },
  })),
  { float64: false, needs: "rank" },
);

checkGradients("Dropout", [...shapes.map((dims) => ({ inputs: [real(dims)] }))], { linear: [[0]] });
