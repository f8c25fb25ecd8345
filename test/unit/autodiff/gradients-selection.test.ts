import { type GradientCase, indices, ints, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const gathered = (
  dims: readonly number[],
  shape: readonly number[],
  index: readonly number[],
  axis?: number,
): GradientCase => ({
  inputs: [real(dims), indices(shape, index)],
  ...(axis === undefined ? {} : { attributes: { axis } }),
});
const isLinear = { linear: [[0]] };
checkGradients(
  "Gather",
  [
    gathered([5, 2], [3], [0, 4, 2]),
    gathered([5, 2], [4], [1, 1, 1, -1]),
    gathered([5, 2], [2, 3], [0, 0, 1, -5, 4, 4]),
    gathered([5, 2], [], [3]),
    gathered([5], [3], [2, 2, 0]),
    gathered([5], [], [-2]),
    gathered([2, 4], [3], [0, 3, 3], 1),
    gathered([2, 4], [2, 2], [0, -1, 3, 1], 1),
    gathered([2, 4, 2], [], [2], 1),
    gathered([2, 4, 2], [1], [-1], -2),
    gathered([2, 3, 2], [2], [1, 1], 2),
    gathered([3, 2], [0], []),
    { inputs: [real([3, 4, 2]), { kind: "int64", dims: [], values: [-1] }], attributes: { axis: 1 } },
    { inputs: [real([3, 4, 2]), ints(2)], attributes: { axis: -1 + 2 } },
  ],
  isLinear,
);
checkGradients(
  "GatherElements",
  [
    gathered([4], [2], [3, 0]),
    gathered([4], [5], [3, 3, 3, 0, -1]),
    gathered([2, 3], [2, 3], [0, 1, 1, 0, 0, 0]),
    gathered([2, 3], [1, 3], [1, 0, 1], 0),
    gathered([2, 3], [2, 1], [2, 0], 1),
    gathered([2, 3], [2, 1], [-1, 1], -1),
    gathered([2, 3], [2, 4], [0, 0, 2, 2, 1, 1, 1, 1], 1),
    gathered([2, 2, 2], [2, 2, 2], [0, 1, 1, 1, 0, 0, 0, 1], 2),
    gathered([2, 3, 2], [2, 1, 2], [2, 0, 0, 1], 1),
    gathered([2, 3, 2], [1, 3, 2], [1, 1, 0, 0, 1, 0], -3),
  ],
  isLinear,
);
const gatheredNd = (
  dims: readonly number[],
  shape: readonly number[],
  index: readonly number[],
  batch = 0,
): GradientCase => ({
  inputs: [real(dims), indices(shape, index)],
  attributes: { batch_dims: batch },
});
checkGradients(
  "GatherND",
  [
    gatheredNd([4], [2, 1], [3, 3]),
    gatheredNd([2, 3], [2, 2], [0, 0, 1, 2]),
    gatheredNd([2, 3], [2, 1], [1, 1]),
    gatheredNd([2, 3], [1], [-1]),
    gatheredNd([2, 3], [2], [1, -1]),
    gatheredNd([2, 3, 2], [2, 2, 2], [0, 0, 1, 1, 0, 0, 1, 2]),
    gatheredNd([2, 3, 2], [2, 1, 1], [1, 0]),
    gatheredNd([2, 3, 2], [2, 1], [1, 0], 1),
    gatheredNd([2, 3], [2, 2, 1], [0, 0, 2, 1], 1),
    gatheredNd([2, 2, 3], [2, 2, 1], [0, 0, 2, 1], 2),
  ],
  isLinear,
);

const scattered = (
  dims: readonly number[],
  shape: readonly number[],
  index: readonly number[],
  attributes: NonNullable<GradientCase["attributes"]> = {},
): GradientCase => ({ inputs: [real(dims), indices(shape, index), real(shape)], attributes });
checkGradients(
  "ScatterElements",
  [
    scattered([4], [2], [3, 0]),
    scattered([4], [2], [-1, 0]),
    scattered([4], [3], [1, 1, 1], { reduction: "add" }),
    scattered([2, 3], [1, 3], [1, 0, 1]),
    scattered([2, 3], [2, 1], [2, 0], { axis: 1 }),
    scattered([2, 3], [2, 2], [2, 2, 0, 0], { axis: -1, reduction: "add" }),
    scattered([2, 3], [2, 3], [0, 1, 2, 2, 1, 0], { axis: 1 }),
    scattered([2, 2, 2], [1, 2, 2], [1, 0, 0, 1]),
    scattered([2, 2, 2], [2, 2, 1], [1, 0, 0, 1], { axis: 2 }),
    scattered([3, 2], [4, 2], [0, 0, 1, 1, 0, 0, 2, 2], { reduction: "add" }),
  ],
  { linear: [[0, 2]] },
);
const scatteredNd = (
  dims: readonly number[],
  shape: readonly number[],
  index: readonly number[],
  reduction = "none",
): GradientCase => ({
  inputs: [real(dims), indices(shape, index), real([...shape.slice(0, -1), ...dims.slice(shape.at(-1))])],
  attributes: { reduction },
});
checkGradients(
  "ScatterND",
  [
    scatteredNd([4], [2, 1], [3, 0]),
    scatteredNd([4], [2, 1], [-1, 0]),
    scatteredNd([4], [3, 1], [2, 2, 0], "add"),
    scatteredNd([3, 2], [2, 1], [2, 0]),
    scatteredNd([3, 2], [2, 2], [2, 0, 1, 1]),
    scatteredNd([3, 2], [2, 2], [2, 0, 2, 0], "add"),
    scatteredNd([2, 2, 2], [1, 2], [1, 0]),
    scatteredNd([2, 2, 2], [2, 1, 1], [1, 0]),
    scatteredNd([2, 2, 2], [3, 1], [1, 1, 0], "add"),
    scatteredNd([2, 3], [2, 2, 2], [0, 0, 1, 1, 0, 2, 1, 0]),
  ],
  { linear: [[0, 2]] },
);
const best = (
  dims: readonly number[],
  k: number,
  attributes: NonNullable<GradientCase["attributes"]> = {},
): GradientCase => ({
  inputs: [real(dims), ints(k)],
  attributes,
  outputs: 2,
});
checkGradients("TopK", [
  best([5], 2),
  best([5], 5),
  best([5], 1, { largest: 0 }),
  best([2, 4], 2),
  best([2, 4], 1, { axis: 0 }),
  best([3, 4], 2, { axis: -2, largest: 0 }),
  best([2, 3, 2], 2, { axis: 1 }),
  best([2, 3, 2], 1, { axis: 2 }),
  best([2, 3, 2], 2, { axis: 0, largest: 0 }),
  best([1, 1], 1),
]);

const marked = (shape: readonly number[], index: readonly number[], depth: number, axis = -1): GradientCase => ({
  inputs: [indices(shape, index), ints(depth), real([2])],
  attributes: { axis },
});
checkGradients(
  "OneHot",
  [
    marked([3], [0, 2, 1], 3),
    marked([3], [0, 2, 1], 4, 0),
    marked([3], [1, 1, 1], 2, 1),
    marked([2], [2, 0], 5),
    marked([1], [-1], 3),
    marked([2, 2], [0, 1, 2, 2], 3),
    marked([2, 2], [0, 1, 2, 2], 3, 1),
    marked([2, 2], [0, -1, 2, -2], 3, 0),
    marked([2, 3], [0, 0, 0, 1, 1, 1], 2, -2),
    marked([1, 2, 1], [4, 0], 5, 2),
  ],
  { linear: [[2]], float64: false },
);
