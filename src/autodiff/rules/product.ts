import type { Value } from "../../onnx/graph-builder.ts";
import { unbroadcast } from "../broadcasting.ts";
import type { GradientRule } from "../rule.ts";

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
};
