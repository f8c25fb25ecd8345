import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { reach, type Slide, slideAttributes, tapsOf } from "./slide.ts";

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
 * the tap sees times what belongs to the place.
 *
 * @returns [places, channels / group, …kernel]
 */
export function kernelGradient(g: GraphBuilder, meeting: Meeting): Value {
  const { slides, group, channels, places, small } = meeting;
  const gradient = group === 1 ? byProducts(g, meeting) : byConvolution(g, meeting);
  return g.know(gradient, {
    type: small.type,
    shape: [places, channels / group, ...slides.map(({ kernel }) => kernel)],
  });
}

/** For any group: a convolution with the batch in the place of the channels, strides and dilations exchanged. */
function byConvolution(g: GraphBuilder, { large, small, slides, group, channels }: Meeting): Value {
  const own = channels / group;
  const inputs = slides.map(({ input }) => input);
  const space = (from: number): number[] => slides.map((_, axis) => axis + from);
  // [N, group, own, …] -> [own, group, N, …] -> [own, group N, …]: a batch of `own`.
  const grouped = g.transpose(g.reshape(large, [0, group, own, ...inputs]), [2, 1, 0, ...space(3)]);
  const asBatch = g.reshape(grouped, [own, -1, ...inputs]);
  const asKernel = g.transpose(small, [1, 0, ...space(2)]);
  const turned = g.op("Conv", [asBatch, asKernel], {
    ...slideAttributes(slides),
    group,
    kernel_shape: slides.map(({ output }) => output),
    strides: slides.map(({ dilation }) => dilation),
    dilations: slides.map(({ stride }) => stride),
  });
  // Inputs behind the last place make it larger than the kernel.
  const kernel = g.slice(turned, { starts: slides.map(() => 0), ends: slides.map((s) => s.kernel), axes: space(2) });
  return g.transpose(kernel, [1, 0, ...space(2)]);
}

/**
 * Without groups: products of matrices, with what the taps see laid out beforehand. The last axis is laid out once for all
 * taps; along the others the window is moved over that, so that memory grows by the width of the kernel, not its area.
 */
function byProducts(g: GraphBuilder, { large, small, slides, channels, places }: Meeting): Value {
  const last = slides.length - 1;
  const order = [...slides.slice(0, last).map((_, axis) => axis + 2), 0, last + 2];
  // [N, C, …] -> [C, …, N, last], where a row of an outer axis is in one piece.
  const laid = g.transpose(large, [1, ...order]);
  const axisOf = (axis: number): number => (axis === last ? last + 2 : axis + 1);
  const before = Array(slides.length + 2).fill(0);
  const after = [...before];
  for (const [axis, slide] of slides.entries()) {
    before[axisOf(axis)] = slide.before;
    after[axisOf(axis)] = slide.after;
  }
  const isPadded = slides.some((slide) => slide.before + slide.after > 0);
  const padded = isPadded ? g.pad(laid, [...before, ...after]) : laid;
  const seen = (value: Value, taps: ReadonlyMap<number, number>): Value => {
    const moved = [...taps].filter(([axis, tap]) => !isWhole(slides[axis], tap));
    if (moved.length === 0) return value;
    const of = <T>(pick: (slide: Slide, tap: number) => T): T[] =>
      moved.flatMap(([axis, tap]) => (slides[axis] ? [pick(slides[axis], tap)] : []));
    return g.slice(value, {
      starts: of((slide, tap) => tap * slide.dilation),
      ends: of((slide, tap) => tap * slide.dilation + (slide.output - 1) * slide.stride + 1),
      axes: moved.map(([axis]) => axisOf(axis)),
      steps: of(({ stride }) => stride),
    });
  };
  const wide = slides[last]?.kernel ?? 1;
  const columns = joined(
    g,
    range(wide).map((tap) => seen(padded, new Map([[last, tap]]))),
  );
  const rows = tapsOf(slides.slice(0, last)).map((taps) =>
    g.reshape(seen(columns, new Map(taps.entries())), [wide * channels, -1]),
  );
  const places2 = g.reshape(g.transpose(small, [1, ...order]), [places, -1]);
  const product = (part: Value): Value => g.gemm(part, places2, null, { transB: 1 });
  // Few rows are multiplied all at once: a product that is flat does not pay.
  const isFlat = wide * channels < 32;
  const all = isFlat ? product(joined(g, rows)) : joined(g, rows.map(product));
  const kernel = slides.map((slide) => slide.kernel);
  const taps = kernel.map((_, axis) => axis);
  return g.transpose(g.reshape(all, [...kernel, channels, places]), [kernel.length + 1, kernel.length, ...taps]);
}

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

const joined = (g: GraphBuilder, values: readonly Value[]): Value =>
  values.length === 1 && values[0] ? values[0] : g.concat(values, 0);

/** Whether a tap sees the padded axis from end to end. */
const isWhole = (slide: Slide | undefined, tap: number): boolean =>
  slide !== undefined &&
  tap === 0 &&
  slide.stride === 1 &&
  slide.output === slide.input + slide.before + slide.after &&
  reach(slide) === 1;
