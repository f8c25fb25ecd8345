import type { GraphBuilder, Value } from "../../onnx/graph-builder.ts";
import { expandLike, unbroadcast } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Products of matrices. */
export const product: Readonly<Record<string, GradientRule>> = {
  Gemm: (at) => {
    const { g, a, b, y, dY } = at;
    const alpha = at.number("alpha", 1);
    const transA = at.number("transA", 0) === 1;
    const transB = at.number("transB", 0) === 1;
    // Each gradient is a Gemm again: a product with dY, from the side where the other factor stood.
    const times = (left: Value, right: Value, transLeft: boolean, transRight: boolean): Value =>
      g.gemm(left, right, null, { alpha, transA: transLeft ? 1 : 0, transB: transRight ? 1 : 0 });
    const dA = transA ? times(b, dY, transB, true) : times(dY, b, false, !transB);
    const dB = transB ? times(dY, a, true, transA) : times(a, dY, !transA, false);
    if (!at.wants(2)) return [dA, dB];
    const beta = at.number("beta", 1);
    return [dA, dB, unbroadcast(g, beta === 1 ? dY : g.mul(dY, beta), at.c, y)];
  },
  MatMul: (at) => {
    const { g, a, b, dY } = at;
    const rankA = at.rank(a, "the first factor");
    const rankB = at.rank(b, "the second factor");
    if (rankA === 2 && rankB === 2) return [g.gemm(dY, b, null, { transB: 1 }), g.gemm(a, dY, null, { transA: 1 })];
    // Many rows times one matrix: a layer on sequences. All rows make one sum.
    if (rankA > 2 && rankB === 2) {
      const dA = g.matmul(dY, g.transpose(b, [1, 0]));
      return [dA, g.gemm(rowsOf(at, a), rowsOf(at, dY), null, { transA: 1 })];
    }
    return batchedProduct(at, rankA, rankB);
  },
  Einsum: (at) => einsum(at),
};

/** All axes but the last as one. */
function rowsOf({ g }: NodeGradient, x: Value): Value {
  const width = x.shape?.at(-1);
  return g.reshape(x, typeof width === "number" ? [-1, width] : g.concat([[-1], g.gather(g.shapeOf(x), [-1])], 0));
}

/** A vector takes part as a row on the left, as a column on the right; the axes before the matrices broadcast. */
function batchedProduct({ g, a, b, y, dY }: NodeGradient, rankA: number, rankB: number): Value[] {
  const rowAxis = rankA === 1 ? [-2] : [];
  const columnAxis = rankB === 1 ? [-1] : [];
  const added = [...rowAxis, ...columnAxis];
  const left = rankA === 1 ? g.unsqueeze(a, [0]) : a;
  const right = rankB === 1 ? g.unsqueeze(b, [1]) : b;
  const full = added.length === 0 ? dY : g.unsqueeze(dY, added);
  const batch = y.shape?.slice(0, y.shape.length - 2 + added.length);
  const swapped = (x: Value, rank: number): Value => {
    const axes = Array.from({ length: Math.max(rank, 2) }, (_, axis) => axis);
    return g.transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
  };
  const reduced = (gradient: Value, like: Value, rank: number): Value => {
    if (rank === 1) return sumToVector(g, gradient, like);
    const shape = batch && like.shape && [...batch, ...like.shape.slice(-2)];
    g.know(gradient, { shape });
    return unbroadcast(g, gradient, like, gradient);
  };
  return [
    reduced(g.matmul(full, swapped(right, rankB)), a, rankA),
    reduced(g.matmul(swapped(left, rankA), full), b, rankB),
  ];
}

/** [batch, …, 1, n] or [batch, …, n, 1] to [n]. */
const sumToVector = (g: GraphBuilder, gradient: Value, like: Value): Value => {
  const rows = g.reshape(gradient, g.concat([[-1], g.shapeOf(like)], 0));
  return g.know(g.sum(rows, [0]), { type: like.type, shape: like.shape });
};

/** The same sum of products with the result in the place of the operand. An index that only the operand has is repeated. */
function einsum(at: NodeGradient): Value[] {
  const { g, inputs, dY } = at;
  const [left = "", right] = at.text("equation", "").replaceAll(" ", "").split("->");
  const terms = left.split(",");
  const repeats = (term: string): boolean => new Set(term).size !== term.length;
  if (right === undefined || left.includes(".") || terms.some(repeats))
    throw at.refusal(
      "no gradient is known for an equation without a result, with an ellipsis or with a diagonal",
      "Write the equation in full (`bij,bjk->bik`), or as MatMul, Transpose and ReduceSum.",
    );
  return terms.map((term, place) => {
    const x = at.input(place);
    const others = inputs.flatMap((value, index) => (value && index !== place ? [value] : []));
    const given = [right, ...terms.filter((_, index) => index !== place)];
    const found = [...term].filter((index) => given.some((other) => other.includes(index))).join("");
    const equation = `${given.join(",")}->${found}`;
    const gradient = g.op("Einsum", [dY, ...others], { equation });
    const absent = [...term].flatMap((index, axis) => (found.includes(index) ? [] : [axis]));
    return absent.length === 0 ? gradient : expandLike(g, g.unsqueeze(gradient, absent), x);
  });
}
