import { axisOf, NdArray, placesOf } from "./array.ts";
import { need, numberOf } from "./attributes.ts";
import type { Naive } from "./operators.ts";

/** A function of the numbers along the reduced axes. */
const reduction = (f: (numbers: readonly number[]) => number): Naive => {
  return (inputs, attributes) => {
    const x = need(inputs, 0);
    const given = Array.from(inputs[1]?.data ?? [], (axis) => axisOf(axis, x.rank));
    const isNoOp = numberOf(attributes, "noop_with_empty_axes", 0) === 1;
    const axes = given.length > 0 || isNoOp ? given : x.dims.map((_, axis) => axis);
    const kept = x.dims.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const groups = NdArray.from(kept, (place) => {
      const along = axes.map((axis) => x.dims[axis] ?? 1);
      const numbers = [...placesOf(along)].map((offset) =>
        x.at(place.map((own, axis) => (axes.includes(axis) ? (offset[axes.indexOf(axis)] ?? 0) : own))),
      );
      return f(numbers);
    });
    if (numberOf(attributes, "keepdims", 1) === 1) return [groups];
    return [
      new NdArray(
        x.dims.filter((_, axis) => !axes.includes(axis)),
        groups.data,
      ),
    ];
  };
};

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The numbers along one axis, made into as many. */
const alongAxis = (f: (numbers: readonly number[]) => readonly number[], x: NdArray, axis: number): NdArray =>
  NdArray.from(x.dims, (place) => {
    const line = Array.from({ length: x.dims[axis] ?? 0 }, (_, index) => x.at(place.with(axis, index)));
    return f(line)[place[axis] ?? 0] ?? Number.NaN;
  });

export const logSoftmax = (x: NdArray, axis: number): NdArray =>
  alongAxis(
    (line) => {
      const top = Math.max(...line);
      const log = top + Math.log(sum(line.map((value) => Math.exp(value - top))));
      return line.map((value) => value - log);
    },
    x,
    axisOf(axis, x.rank),
  );

export const reductions: Readonly<Record<string, Naive>> = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction((numbers) => sum(numbers) / numbers.length),
  ReduceMax: reduction((numbers) => Math.max(...numbers)),
  ReduceMin: reduction((numbers) => Math.min(...numbers)),
  ReduceProd: reduction((numbers) => numbers.reduce((a, b) => a * b, 1)),
  ReduceL1: reduction((numbers) => sum(numbers.map(Math.abs))),
  ReduceL2: reduction((numbers) => Math.hypot(...numbers)),
  ReduceSumSquare: reduction((numbers) => sum(numbers.map((x) => x * x))),
  ReduceLogSum: reduction((numbers) => Math.log(sum(numbers))),
  ReduceLogSumExp: reduction((numbers) => Math.log(sum(numbers.map(Math.exp)))),
  LogSoftmax: (inputs, attributes) => [logSoftmax(need(inputs, 0), numberOf(attributes, "axis", -1))],
  Softmax: (inputs, attributes) => {
    const logs = logSoftmax(need(inputs, 0), numberOf(attributes, "axis", -1));
    return [new NdArray(logs.dims, logs.data.map(Math.exp))];
  },
  CumSum: (inputs, attributes) => {
    const x = need(inputs, 0);
    const isReverse = numberOf(attributes, "reverse", 0) === 1;
    const own = numberOf(attributes, "exclusive", 0) === 1 ? 0 : 1;
    const running = (line: readonly number[]): readonly number[] =>
      line.map((_, index) => sum(isReverse ? line.slice(index + 1 - own) : line.slice(0, index + own)));
    return [alongAxis(running, x, axisOf(need(inputs, 1).data[0] ?? 0, x.rank))];
  },
};
