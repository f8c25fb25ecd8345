import fc from "fast-check";
import { bools, type GradientCase, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";
import { product } from "../../support/naive/array.ts";

/** Shapes that broadcast to one: each leaves axes out in front, or has 1 in some places. */
const shapes = (count: number): (readonly number[])[][] => {
  const full = fc.array(fc.constantFrom(1, 2, 3), { maxLength: 4 }).filter((dims) => product(dims) <= 24);
  const narrowed = (dims: readonly number[]) =>
    fc
      .tuple(fc.nat({ max: dims.length }), fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }))
      .map(([left, ones]) => dims.slice(left).map((size, axis) => (ones[axis] ? 1 : size)));
  const several = full.chain((dims) => fc.array(narrowed(dims), { minLength: count, maxLength: count }));
  return fc.sample(several, { seed: 7, numRuns: 14 });
};

const onPairs = (from = -1, to = 1, fromB = from, toB = to): GradientCase[] =>
  shapes(2).map(([a = [], b = []]) => ({ inputs: [real(a, from, to), real(b, fromB, toB)] }));

checkGradients("Add", onPairs(), { linear: [[0, 1]] });
checkGradients("Sub", onPairs(), { linear: [[0, 1]] });
checkGradients("Mul", onPairs(), { linear: [[0], [1]] });
checkGradients("Div", onPairs(-1, 1, 0.4, 2), { linear: [[0]] });
checkGradients("Pow", [
  ...onPairs(0.3, 2, -2, 2),
  { inputs: [real([3, 2]), { kind: "int64", dims: [], values: [3] }] },
  { inputs: [real([4]), { kind: "int64", dims: [4], values: [0, 1, 2, 3] }] },
  { inputs: [real([4], -2, -0.5), { kind: "real", dims: [], values: [2] }] },
]);
checkGradients(
  "Mod",
  onPairs(1, 9, 0.4, 0.9).map((each) => ({ ...each, attributes: { fmod: 1 } })),
);

const onSeveral = (): GradientCase[] => [
  ...shapes(3).map((dims) => ({ inputs: dims.map((each) => real(each)) })),
  { inputs: [real([2, 3])] },
  { inputs: [real([2, 3]), real([3])] },
];
checkGradients("Sum", onSeveral(), { linear: [[0, 1, 2]] });
checkGradients("Mean", onSeveral(), { linear: [[0, 1, 2]], float64: false });
checkGradients("Max", onSeveral());
checkGradients("Min", onSeveral());

checkGradients(
  "Where",
  shapes(3).map(([condition = [], a = [], b = []]) => ({
    inputs: [
      bools(
        condition,
        Array.from({ length: product(condition) }, (_, index) => Number(index % 3 !== 1)),
      ),
      real(a),
      real(b),
    ],
  })),
  { linear: [[1, 2]] },
);
checkGradients(
  "Expand",
  shapes(2).map(([a = [], b = []]) => ({ inputs: [real(a), { kind: "int64", dims: [b.length], values: b }] })),
  {
    linear: [[0]],
  },
);
