import { type GradientCase, real } from "../../support/gradient-cases.ts";
import { checkGradients } from "../../support/gradient-check.ts";

const cs = [[], [4], [3, 1], [3, 4], [1, 4]] as const;
const gemms: GradientCase[] = [0, 1, 2, 3].flatMap((bits) => {
  const transA = bits & 1;
  const transB = bits >> 1;
  const factors = [real(transA === 1 ? [2, 3] : [3, 2]), real(transB === 1 ? [4, 2] : [2, 4])];
  return [
    { inputs: factors, attributes: { transA, transB, alpha: 0.5 } },
    ...cs.map((c) => ({ inputs: [...factors, real(c)], attributes: { transA, transB, alpha: 0.75, beta: 1.5 } })),
  ];
});
checkGradients("Gemm", [...gemms, { inputs: [real([3, 2]), real([2, 4]), real([4])] }], {
  linear: [
    [0, 2],
    [1, 2],
  ],
});

const pair = (a: readonly number[], b: readonly number[]): GradientCase => ({ inputs: [real(a), real(b)] });
checkGradients(
  "MatMul",
  [
    pair([3, 2], [2, 4]),
    pair([1, 1], [1, 1]),
    pair([5], [5]),
    pair([3], [3, 2]),
    pair([2, 3], [3]),
    pair([3], [2, 3, 4]),
    pair([2, 4, 3], [3]),
    pair([2, 3, 4], [4, 2]),
    pair([2, 2, 2, 3], [3, 2]),
    pair([3, 4], [2, 4, 2]),
    pair([2, 3, 4], [2, 4, 2]),
    pair([1, 3, 4], [2, 4, 2]),
    pair([2, 1, 2, 3], [3, 3, 2]),
    pair([2, 3, 2, 2], [1, 3, 2, 2]),
    pair([3], [2, 2, 3, 2]),
  ],
  { linear: [[0], [1]], needs: "rank" },
);

const einsum = (equation: string, ...dims: (readonly number[])[]): GradientCase => ({
  inputs: dims.map((each) => real(each)),
  attributes: { equation },
});
checkGradients(
  "Einsum",
  [
    einsum("ij,jk->ik", [2, 3], [3, 4]),
    einsum("bij,bjk->bik", [2, 3, 2], [2, 2, 3]),
    einsum("i,j->ij", [3], [2]),
    einsum("ij->ji", [2, 3]),
    einsum("ij->i", [2, 3]),
    einsum("ij->", [2, 3]),
    einsum("i,i->", [4], [4]),
    einsum("bhqd,bhkd->bhqk", [1, 2, 3, 2], [1, 2, 2, 2]),
    einsum("ij,jk,kl->il", [2, 2], [2, 3], [3, 2]),
    einsum("ij,k->k", [2, 2], [3]),
    einsum("bi, oi -> bo", [2, 3], [4, 3]),
  ],
  { linear: [[0]] },
);
