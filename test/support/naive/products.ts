import { broadcastAt, commonDims, NdArray, placesOf } from "./array.ts";
import { need, numberOf, textOf } from "./attributes.ts";
import type { Naive } from "./operators.ts";

const transposed = (x: NdArray, isAsked: boolean): NdArray =>
  isAsked ? NdArray.from(x.dims.toReversed(), (place) => x.at(place.toReversed())) : x;

function matmul(a: NdArray, b: NdArray): NdArray {
  const left = a.rank === 1 ? new NdArray([1, ...a.dims], a.data) : a;
  const right = b.rank === 1 ? new NdArray([...b.dims, 1], b.data) : b;
  const [rows = 1, inner = 1] = left.dims.slice(-2);
  const columns = right.dims.at(-1) ?? 1;
  const batch = commonDims([left.dims.slice(0, -2), right.dims.slice(0, -2)]);
  const of = (x: NdArray, place: readonly number[], row: number, column: number): number => {
    const own = x.dims
      .slice(0, -2)
      .map((size, axis) => (size === 1 ? 0 : (place[axis + batch.length - x.rank + 2] ?? 0)));
    return x.at([...own, row, column]);
  };
  const full = NdArray.from([...batch, rows, columns], (place) => {
    const [row = 0, column = 0] = place.slice(-2);
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += of(left, place, row, k) * of(right, place, k, column);
    return sum;
  });
  const dims = [...batch, ...(a.rank === 1 ? [] : [rows]), ...(b.rank === 1 ? [] : [columns])];
  return new NdArray(dims, full.data);
}

export const products: Readonly<Record<string, Naive>> = {
  MatMul: (inputs) => [matmul(need(inputs, 0), need(inputs, 1))],
  Gemm: (inputs, attributes) => {
    const isAsked = (name: string): boolean => numberOf(attributes, name, 0) === 1;
    const product = matmul(
      transposed(need(inputs, 0), isAsked("transA")),
      transposed(need(inputs, 1), isAsked("transB")),
    );
    const c = inputs[2] ?? new NdArray([], [0]);
    const alpha = numberOf(attributes, "alpha", 1);
    const beta = numberOf(attributes, "beta", 1);
    return [NdArray.from(product.dims, (place) => alpha * product.at(place) + beta * broadcastAt(c, place))];
  },
  Einsum: (inputs, attributes) => {
    const [left = "", right = ""] = textOf(attributes, "equation", "").replaceAll(" ", "").split("->");
    const terms = left.split(",");
    const sizes = new Map<string, number>();
    for (const [place, term] of terms.entries())
      for (const [axis, index] of [...term].entries()) sizes.set(index, need(inputs, place).dims[axis] ?? 1);
    const summed = [...sizes.keys()].filter((index) => !right.includes(index));
    const names = [...right, ...summed];
    return [
      NdArray.from(
        [...right].map((index) => sizes.get(index) ?? 1),
        (place) => {
          let sum = 0;
          for (const inner of placesOf(summed.map((index) => sizes.get(index) ?? 1))) {
            const at = new Map(names.map((index, nth) => [index, [...place, ...inner][nth] ?? 0]));
            sum += terms.reduce(
              (product, term, nth) => product * need(inputs, nth).at([...term].map((index) => at.get(index) ?? 0)),
              1,
            );
          }
          return sum;
        },
      ),
    ];
  },
};
