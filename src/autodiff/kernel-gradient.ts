import { sizeOf } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { int64s } from "../onnx/tensor-proto.ts";
import type { Slide } from "./slide.ts";

/** A convolution as its kernel sees it: two tensors that slide over each other, and how many channels meet. */
export type Meeting = {
  /** [N, channels, …]: what is slid over. */
  readonly large: Value;
  /** [N, places, …]: what there is one of for each place. */
  readonly small: Value;
  readonly slides: readonly Slide[];
  readonly group: number;
  readonly channels: number;
  readonly places: number;
};

/**
 * The gradient of a convolution's kernel: for each pair of channels and each tap, the sum over batch and places of what
 * the tap sees times what belongs to the place. That is a product of matrices with a row for each channel and tap, and a
 * column for each position and example.
 *
 * Along an axis either side can be laid out for the taps: what they see at each place, or the places that see each input.
 * What gives the fewer rows is moved, so that memory grows by the width of a kernel rather than by its area.
 *
 * @returns [places, channels / group, …kernel]
 */
export function kernelGradient(g: GraphBuilder, meeting: Meeting): Value {
  const { large, small, slides, group, channels, places } = meeting;
  const [own, each] = [channels / group, places / group];
  const isSeen = movesLarge(slides, own, each);
  const seen = slides.map((slide, axis) => (isSeen[axis] ? ofPlaces(slide) : still(slide.input)));
  const seeing = slides.map((slide, axis) => (isSeen[axis] ? still(slide.output) : ofInputs(slide)));
  const rows = laidOut(g, large, seen, group, own);
  const columns = laidOut(g, small, seeing, group, each);
  const all = g.reshape(product(g, rows, columns, group), [group, own, ...tapsOf(seen), each, ...tapsOf(seeing)]);
  const behind = slides.length + 2;
  const turned = g.transpose(all, [0, behind, 1, ...slides.flatMap((_, axis) => [2 + axis, behind + 1 + axis])]);
  const shape = [places, own, ...slides.map(({ kernel }) => kernel)];
  return g.know(g.reshape(turned, shape), { type: small.type, shape });
}

/** By axis, whether what is slid over is laid out for the taps. The places can be only where they are no fewer than inputs. */
function movesLarge(slides: readonly Slide[], own: number, each: number): readonly boolean[] {
  const options = ({ input, output }: Slide): boolean[] => (input <= output ? [true, false] : [true]);
  const choices = slides.reduce<(readonly boolean[])[]>(
    (all, slide) => all.flatMap((set) => options(slide).map((isMoved) => [...set, isMoved])),
    [[]],
  );
  const taps = (set: readonly boolean[], side: boolean): number =>
    slides.reduce((count, { kernel }, axis) => (set[axis] === side ? count * kernel : count), 1);
  const rows = (set: readonly boolean[]): number => own * taps(set, true) + each * taps(set, false);
  return choices.reduce((best, set) => (rows(set) < rows(best) ? set : best));
}

/** One side along one axis: with a tap, a column is `at` there, or nowhere when that is no place of it. */
type Along = {
  readonly size: number;
  readonly taps: number;
  readonly columns: number;
  at(tap: number, column: number): number;
};

const still = (size: number): Along => ({ size, taps: 1, columns: size, at: (_, column) => column });

/** What the taps see: a column for each place. */
const ofPlaces = ({ input, output, kernel, stride, dilation, before }: Slide): Along => ({
  ...{ size: input, taps: kernel, columns: output },
  at: (tap, place) => place * stride + tap * dilation - before,
});

/** The places that see with the taps: a column for each input. */
const ofInputs = ({ input, output, kernel, stride, dilation, before }: Slide): Along => ({
  ...{ size: output, taps: kernel, columns: input },
  at: (tap, position) => (position + before - tap * dilation) / stride,
});

const tapsOf = (axes: readonly Along[]): number[] => axes.map(({ taps }) => taps);

/** [N, group channels, …space] as matrices: [group, channels taps, columns N]. Examples lie innermost, for whole blocks to be moved. */
function laidOut(g: GraphBuilder, value: Value, axes: readonly Along[], group: number, channels: number): Value {
  const space = sizeOf(axes.map(({ size }) => size));
  const inside = g.transpose(g.reshape(value, [-1, group * channels * space]), [1, 0]);
  const rows = channels * sizeOf(tapsOf(axes));
  const sources = sourcesOf(axes, space);
  if (sources.length === space && sources.every((source, index) => source === index))
    return g.reshape(inside, [group, rows, -1]);
  const laid = g.reshape(inside, [group * channels, space, -1]);
  // One more, of zeros, for what is nowhere.
  const padded = sources.includes(space) ? g.pad(laid, [0, 0, 0, 0, 1, 0]) : laid;
  return g.reshape(g.gather(padded, g.constant(int64s(sources)), 1), [group, rows, -1]);
}

/** Where each column is with each combination of taps, all axes flattened; `space` where it is nowhere. */
function sourcesOf(axes: readonly Along[], space: number): number[] {
  const along = (of: "taps" | "columns"): number[][] =>
    axes.reduce<number[][]>((all, axis) => all.flatMap((each) => range(axis[of]).map((next) => [...each, next])), [[]]);
  const columns = along("columns");
  return along("taps").flatMap((taps) =>
    columns.map((column) => {
      let source = 0;
      for (const [index, axis] of axes.entries()) {
        const at = axis.at(taps[index] ?? 0, column[index] ?? 0);
        if (!Number.isInteger(at) || at < 0 || at >= axis.size) return space;
        source = source * axis.size + at;
      }
      return source;
    }),
  );
}

/** [group, rows, n] times [group, columns, n]: [group, rows, columns]. */
function product(g: GraphBuilder, rows: Value, columns: Value, group: number): Value {
  if (group > 1) return g.matmul(rows, g.transpose(columns, [0, 2, 1]));
  return g.gemm(g.squeeze(rows, [0]), g.squeeze(columns, [0]), null, { transB: 1 });
}

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
