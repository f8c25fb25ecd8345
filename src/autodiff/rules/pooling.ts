import { sizeOf, type Tensor } from "../../base/tensor.ts";
import type { GraphBuilder, Value } from "../../onnx/graph-builder.ts";
import { int64s } from "../../onnx/tensor-proto.ts";
import { expandLike, reshapeLike } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";
import { type Slide, slideBack, slidesOf, tapsOf } from "../slide.ts";

/** Pools, over any number of spatial axes. */
export const pooling: Readonly<Record<string, GradientRule>> = {
  MaxPool: (at) => {
    const slides = slidesOf(at, at.numbers("kernel_shape", []));
    return [isTiled(slides) ? toFirstMatch(at, slides) : toIndices(at)];
  },
  AveragePool: (at) => {
    const { g, a: x, dY } = at;
    const slides = slidesOf(at, at.numbers("kernel_shape", []));
    const share = g.div(dY, g.constant(counts(slides, at.number("count_include_pad", 0) === 1)));
    if (isTiled(slides))
      return [
        untile(
          g,
          tapsOf(slides).map(() => share),
          slides,
          x,
        ),
      ];
    const ones = floats([1, 1, ...slides.map(({ kernel }) => kernel)], 1);
    const each = g.reshape(share, [-1, 1, ...slides.map(({ output }) => output)]);
    return [reshapeLike(g, slideBack(g, each, g.constant(ones), slides), x)];
  },
  GlobalAveragePool: (at) => {
    const { g, a: x, dY } = at;
    return [expandLike(g, g.div(dY, sizeOf(at.space(x))), x)];
  },
  // To the first of several maxima, as MaxPool has it.
  GlobalMaxPool: (at) => {
    const { g, a: x, dY } = at;
    const size = sizeOf(at.space(x));
    const first = g.argMax(g.reshape(x, [0, 0, size]), 2, { keep: true });
    const places = g.constant(int64s(Array.from({ length: size }, (_, place) => place)));
    return [reshapeLike(g, g.where(g.equal(places, first), g.reshape(dY, [0, 0, 1]), 0), x)];
  },
};

/** Whether the windows lie side by side, so that no input is seen twice. */
const isTiled = (slides: readonly Slide[]): boolean =>
  slides.every(
    ({ kernel, stride, dilation, before, after, input, output }) =>
      kernel === stride && dilation === 1 && before + after === 0 && output * stride <= input,
  );

/** Windows that overlap: the operator says itself where each maximum was. */
function toIndices(at: NodeGradient): Value {
  const { g, a: x, dY } = at;
  const indices = at.given(1, "indices", "int64");
  const zeros = g.expand(g.zero(x), g.reshape(g.op("Size", [x]), [1]));
  const flat = g.op("ScatterElements", [zeros, g.reshape(indices, [-1]), g.reshape(dY, [-1])], { reduction: "add" });
  return reshapeLike(g, flat, x);
}

/** Windows side by side: to the first input that equals the maximum. (That operator's way of naming places is slow.) */
function toFirstMatch({ g, a: x, y, dY }: NodeGradient, slides: readonly Slide[]): Value {
  let taken: Value | undefined;
  const parts = tile(g, x, y, slides).map((seen) => {
    const isMaximum = g.equal(seen, y);
    const isFirst = taken ? g.and(isMaximum, g.not(taken)) : isMaximum;
    taken = taken ? g.or(taken, isMaximum) : isMaximum;
    return g.where(isFirst, dY, 0);
  });
  return untile(g, parts, slides, x);
}

/**
 * What each tap of windows side by side sees, in the shape of y. Cut axis by axis, the last by a transposition: a slice with
 * steps would walk over the whole input for each tap.
 */
function tile(g: GraphBuilder, x: Value, y: Value, slides: readonly Slide[]): Value[] {
  const axes = slides.map((_, axis) => axis + 2);
  const ends = slides.map(({ output, kernel }) => output * kernel);
  const isWhole = slides.every(({ input }, axis) => input === ends[axis]);
  let pieces = [isWhole ? x : g.slice(x, { starts: slides.map(() => 0), ends, axes })];
  for (const [axis, { kernel }] of slides.entries()) {
    const each = Array(kernel).fill(1);
    const behind = sizeOf(ends.slice(axis + 1));
    const cut = (piece: Value): Value[] =>
      axis < slides.length - 1
        ? g.split(g.reshape(piece, [-1, kernel, behind]), each, kernel, 1)
        : g.split(g.transpose(g.reshape(piece, [-1, kernel]), [1, 0]), each, kernel);
    pieces = pieces.flatMap(cut);
  }
  return pieces.map((piece) => reshapeLike(g, piece, y));
}

/** Puts what belongs to each tap of windows side by side in its place; 0 behind the last window. */
function untile(g: GraphBuilder, parts: readonly Value[], slides: readonly Slide[], x: Value): Value {
  const sizes = slides.map(({ output }) => output);
  let pieces = parts;
  for (const [axis, { kernel, output }] of [...slides.entries()].toReversed()) {
    sizes[axis] = output * kernel;
    const shape = [0, 0, ...sizes];
    pieces = Array.from({ length: pieces.length / kernel }, (_, piece) => {
      const taps = pieces.slice(piece * kernel, (piece + 1) * kernel);
      return g.reshape(
        g.concat(
          taps.map((tap) => g.unsqueeze(tap, [axis + 3])),
          axis + 3,
        ),
        shape,
      );
    });
  }
  const rest = slides.map(({ input }, axis) => input - (sizes[axis] ?? 0));
  const nothing = rest.map(() => 0);
  const [all] = pieces as readonly [Value];
  const whole = rest.every((size) => size === 0) ? all : g.pad(all, [0, 0, ...nothing, 0, 0, ...rest]);
  return g.know(whole, { shape: x.shape });
}

/** By how many inputs each place divides: [1, 1, …places]. Padding counts when asked for, as far as it goes. */
function counts(slides: readonly Slide[], withPadding: boolean): Tensor {
  const along = slides.map(({ kernel, stride, dilation, before, after, input, output }) => {
    const [from, to] = withPadding ? [-before, input + after] : [0, input];
    return Array.from({ length: output }, (_, place) => {
      const seen = Array.from({ length: kernel }, (_, tap) => place * stride + tap * dilation - before);
      return seen.filter((position) => position >= from && position < to).length;
    });
  });
  const all = along.reduce<number[]>((outer, inner) => outer.flatMap((a) => inner.map((b) => a * b)), [1]);
  return { type: "float32", dims: [1, 1, ...slides.map(({ output }) => output)], data: Float32Array.from(all) };
}

const floats = (dims: readonly number[], value: number): Tensor => ({
  type: "float32",
  dims,
  data: new Float32Array(sizeOf(dims)).fill(value),
});
