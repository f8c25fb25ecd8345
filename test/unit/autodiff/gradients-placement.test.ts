import { type GradientCase, held, indices, ints, onAnyShape, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const isLinear = { linear: [[0]] };
checkGradients("Identity", onAnyShape(), isLinear);

checkGradients(
  "Reshape",
  [
    { inputs: [real([2, 3]), ints(6)] },
    { inputs: [real([2, 3]), ints(-1)] },
    { inputs: [real([2, 3]), ints(3, 2)] },
    { inputs: [real([2, 3, 4]), ints(0, -1)] },
    { inputs: [real([2, 3, 4]), ints(0, 0, 2, 2)] },
    { inputs: [real([1]), ints()] },
    { inputs: [real([]), ints(1, 1)] },
    { inputs: [real([0, 3]), ints(3, 0)], attributes: { allowzero: 1 } },
    { inputs: [real([2, 2, 2]), indices([2], [4, 2])] },
    { inputs: [real([4, 3]), indices([3], [2, 2, -1])] },
  ],
  isLinear,
);
const flattened: readonly [readonly number[], number][] = [
  [[2, 3], 1],
  [[2, 3], 0],
  [[2, 3], 2],
  [[2, 3, 4], 1],
  [[2, 3, 4], 2],
  [[2, 3, 4], -1],
  [[5], 1],
  [[5], 0],
  [[], 0],
  [[2, 2, 2, 2], -3],
];
checkGradients(
  "Flatten",
  flattened.map(([dims, axis]) => ({ inputs: [real(dims)], attributes: { axis } })),
  isLinear,
);
checkGradients(
  "Squeeze",
  [
    { inputs: [real([1, 3])] },
    { inputs: [real([1, 1])] },
    { inputs: [real([2, 3])] },
    { inputs: [real([1, 3, 1]), ints(0)] },
    { inputs: [real([1, 3, 1]), ints(-1)] },
    { inputs: [real([1, 3, 1]), ints(0, 2)] },
    { inputs: [real([2, 1, 3, 1]), ints(3, 1)] },
    { inputs: [real([2, 1, 3, 1]), indices([1], [1])] },
    { inputs: [real([1]), ints(0)] },
    { inputs: [real([1, 0]), ints(0)] },
  ],
  isLinear,
);
checkGradients(
  "Unsqueeze",
  [
    { inputs: [real([]), ints(0)] },
    { inputs: [real([3]), ints(0)] },
    { inputs: [real([3]), ints(1)] },
    { inputs: [real([3]), ints(-1)] },
    { inputs: [real([2, 3]), ints(0, 3)] },
    { inputs: [real([2, 3]), ints(-1, 0)] },
    { inputs: [real([2, 3]), ints(1, 2)] },
    { inputs: [real([2, 3, 2]), indices([2], [2, 4])] },
    { inputs: [real([0]), ints(1)] },
    { inputs: [real([1, 1]), ints(0, 1, 4)] },
  ],
  isLinear,
);
const perms = [
  undefined,
  [1, 0],
  [0, 1],
  undefined,
  [2, 0, 1],
  [1, 2, 0],
  [0, 2, 1],
  undefined,
  [0, 2, 3, 1],
  [3, 1, 0, 2],
];
checkGradients(
  "Transpose",
  perms.map((perm, index) => ({
    inputs: [real([2, 3, 4, 2].slice(0, perm?.length ?? (index % 4) + 1))],
    ...(perm ? { attributes: { perm } } : {}),
  })),
  isLinear,
);
checkGradients(
  "Tile",
  [
    { inputs: [real([3]), ints(2)] },
    { inputs: [real([1]), ints(4)] },
    { inputs: [real([3]), ints(1)] },
    { inputs: [real([2, 3]), ints(2, 1)] },
    { inputs: [real([2, 3]), ints(1, 3)] },
    { inputs: [real([2, 3]), ints(2, 2)] },
    { inputs: [real([2, 3]), indices([2], [3, 1])] },
    { inputs: [real([2, 1, 2]), ints(1, 3, 2)] },
    { inputs: [real([1, 2, 2, 1]), ints(2, 1, 1, 2)] },
    { inputs: [real([2, 3]), ints(0, 2)] },
  ],
  { ...isLinear, needs: "rank" },
);

const concatenated = (axis: number, ...dims: (readonly number[])[]): GradientCase => ({
  inputs: dims.map((each) => real(each)),
  attributes: { axis },
});
checkGradients(
  "Concat",
  [
    concatenated(0, [2], [3]),
    concatenated(0, [2]),
    concatenated(-1, [2], [1], [4]),
    concatenated(0, [2, 3], [1, 3]),
    concatenated(1, [2, 3], [2, 1]),
    concatenated(-1, [2, 3], [2, 2]),
    concatenated(-2, [1, 3], [2, 3], [3, 3]),
    concatenated(1, [2, 1, 2], [2, 3, 2]),
    concatenated(2, [2, 1, 2], [2, 1, 2]),
    concatenated(1, [2, 0, 2], [2, 1, 2]),
    { inputs: [real([2, 3]), held([2, 1], [1, 2])], attributes: { axis: 1 } },
  ],
  { linear: [[0, 1, 2]] },
);
checkGradients(
  "Split",
  [
    { inputs: [real([5]), ints(2, 3)] },
    { inputs: [real([6])], attributes: { num_outputs: 3 } },
    { inputs: [real([7])], attributes: { num_outputs: 3 } },
    { inputs: [real([4, 3]), ints(1, 3)] },
    { inputs: [real([4, 3]), ints(1, 2)], attributes: { axis: 1 } },
    { inputs: [real([4, 3]), ints(2, 1)], attributes: { axis: -1 } },
    { inputs: [real([2, 4, 2])], attributes: { axis: 1, num_outputs: 2 } },
    { inputs: [real([2, 4, 2]), indices([2], [3, 1])], attributes: { axis: 1 } },
    { inputs: [real([3]), ints(0, 3)] },
    { inputs: [real([2, 2]), ints(2)], attributes: { axis: 1 } },
  ],
  isLinear,
);
checkGradients(
  "Slice",
  [
    { inputs: [real([6]), ints(1), ints(4)] },
    { inputs: [real([6]), ints(-3), ints(99)] },
    { inputs: [real([6]), ints(0), ints(6), ints(0), ints(2)] },
    { inputs: [real([7]), ints(5), ints(0), ints(0), ints(-2)] },
    { inputs: [real([5]), ints(-1), ints(-99), ints(0), ints(-1)] },
    { inputs: [real([4, 5]), ints(1, 2), ints(3, 4)] },
    { inputs: [real([4, 5]), ints(1), ints(-1), ints(1)] },
    { inputs: [real([4, 5]), ints(1, 0), ints(5, 3), ints(-1, -2), ints(2, 1)] },
    { inputs: [real([2, 3, 4]), ints(0), ints(2 ** 31), ints(2)] },
    { inputs: [real([2, 3, 4]), indices([1], [1]), indices([1], [3]), indices([1], [1])] },
    { inputs: [real([2, 3, 4]), indices([2], [3, 0]), indices([2], [0, 1]), ints(2, 0), ints(-1, 1)] },
    { inputs: [real([4]), ints(3), ints(1)] },
  ],
  isLinear,
);
const padded = (
  dims: readonly number[],
  pads: readonly number[],
  mode = "constant",
  axes?: readonly number[],
): GradientCase => ({
  inputs: [real(dims), ints(...pads), ...(axes ? [null, ints(...axes)] : [])],
  attributes: { mode },
});
checkGradients(
  "Pad",
  [
    padded([4], [1, 2]),
    padded([4], [0, 0]),
    padded([5], [-1, 2]),
    padded([2, 3], [1, 0, 0, 2]),
    padded([2, 3], [1, 2], "constant", [-1]),
    padded([2, 3, 2], [0, 1, 1, 0], "constant", [2, 0]),
    padded([4], [2, 1], "reflect"),
    padded([3, 4], [1, 2, 0, 1], "reflect"),
    padded([3, 2], [2, 1, 1, 2], "edge"),
    padded([3, 2], [1, 2], "edge", [0]),
    padded([3, 2], [1, 1, 2, 0], "wrap"),
    { inputs: [real([2, 3]), ints(1, 0, 0, 2), real([])] },
    { inputs: [real([5]), ints(-1, 2), real([])] },
    { inputs: [real([2, 2]), indices([4], [0, 1, 1, 0])] },
  ],
  { linear: [[0, 2]] },
);

const blocks: readonly [number, readonly number[]][] = [
  [1, [1, 2, 2, 3]],
  [2, [1, 1, 2, 2]],
  [2, [2, 1, 4, 2]],
  [2, [1, 3, 2, 4]],
  [3, [1, 1, 3, 6]],
  [2, [2, 2, 2, 2]],
  [1, [2, 1, 1, 1]],
  [3, [1, 2, 3, 3]],
  [4, [1, 1, 4, 4]],
  [2, [1, 1, 4, 6]],
];
checkGradients(
  "SpaceToDepth",
  blocks.map(([blocksize, dims]) => ({ inputs: [real(dims)], attributes: { blocksize } })),
  isLinear,
);
checkGradients(
  "DepthToSpace",
  blocks.map(([blocksize, [n = 1, c = 1, h = 1, w = 1]]) => ({
    inputs: [real([n, c * blocksize ** 2, h / blocksize, w / blocksize])],
    attributes: { blocksize },
  })),
  isLinear,
);
