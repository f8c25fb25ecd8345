import type { GraphBuilder, Operand, Value } from "../onnx/graph-builder.ts";
import type { NodeGradient } from "./rule.ts";

/** How a Conv or a pool slides along one axis: output o sees, with tap k, the input o * stride + k * dilation - before. */
export type Slide = {
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding before the first input and behind the last; sizes of `auto_pad` are worked out. */
  readonly before: number;
  readonly after: number;
  /** Size of what is slid over, and number of places. For a ConvTranspose: of what it gives, and of what it takes. */
  readonly input: number;
  readonly output: number;
};

/** Inputs that one place sees from its first tap to its last. */
export const reach = ({ kernel, dilation }: Slide): number => (kernel - 1) * dilation + 1;

/** Inputs that all places together see, padding included. */
export const span = (slide: Slide): number => (slide.output - 1) * slide.stride + reach(slide);

/** One slide for each spatial axis of a Conv or a pool. */
export function slidesOf(at: NodeGradient, kernel: readonly number[]): readonly Slide[] {
  const isSame = at.text("auto_pad", "NOTSET").startsWith("SAME");
  return read(at, kernel, at.a, at.y, (slide) => (isSame ? span(slide) - slide.input : undefined));
}

/** The same of a ConvTranspose: those of the Conv that it turns around. */
export function transposedSlidesOf(at: NodeGradient, kernel: readonly number[]): readonly Slide[] {
  const isGiven = at.text("auto_pad", "NOTSET").startsWith("SAME") || at.numbers("output_shape", []).length > 0;
  const extra = at.numbers("output_padding", []);
  return read(at, kernel, at.y, at.a, (slide, axis) =>
    isGiven ? span(slide) + (extra[axis] ?? 0) - slide.input : undefined,
  );
}

/** @param padding  what is to be padded in all along an axis, when it is not given by `pads` */
function read(
  at: NodeGradient,
  kernel: readonly number[],
  large: Value,
  small: Value,
  padding: (slide: Slide, axis: number) => number | undefined,
): readonly Slide[] {
  const [inputs, outputs] = [at.space(large), at.space(small)];
  const pads = at.numbers("pads", []);
  const strides = at.numbers("strides", []);
  const dilations = at.numbers("dilations", []);
  const isOddFirst = at.text("auto_pad", "NOTSET") !== "SAME_UPPER";
  return kernel.map((size, axis): Slide => {
    const slide = {
      kernel: size,
      stride: strides[axis] ?? 1,
      dilation: dilations[axis] ?? 1,
      before: pads[axis] ?? 0,
      after: pads[axis + kernel.length] ?? 0,
      input: inputs[axis] ?? 1,
      output: outputs[axis] ?? 1,
    };
    const total = padding(slide, axis);
    if (total === undefined) return slide;
    const all = Math.max(0, total);
    const before = isOddFirst ? Math.ceil(all / 2) : Math.floor(all / 2);
    return { ...slide, before, after: all - before };
  });
}

/** All combinations of taps, the last axis fastest. */
export const tapsOf = (slides: readonly Slide[]): readonly (readonly number[])[] =>
  slides.reduce<readonly (readonly number[])[]>(
    (all, { kernel }) => all.flatMap((taps) => Array.from({ length: kernel }, (_, tap) => [...taps, tap])),
    [[]],
  );

/**
 * Brings what belongs to the places back to the inputs that each of them saw: the transpose of a convolution.
 * Inputs behind the last place were not seen: they get 0.
 */
export function slideBack(g: GraphBuilder, places: Value, kernel: Operand, slides: readonly Slide[], group = 1): Value {
  const over = slides.map((slide) => span(slide) - slide.before - slide.input);
  return g.op("ConvTranspose", [places, kernel], {
    ...slideAttributes(slides.map((slide, axis) => ({ ...slide, after: Math.max(0, over[axis] ?? 0) }))),
    group,
    output_padding: over.map((size) => Math.max(0, -size)),
  });
}

/** Attributes of a Conv, ConvTranspose or pool that slides so. */
export const slideAttributes = (
  slides: readonly Slide[],
): { kernel_shape: number[]; strides: number[]; dilations: number[]; pads: number[] } => ({
  kernel_shape: slides.map(({ kernel }) => kernel),
  strides: slides.map(({ stride }) => stride),
  dilations: slides.map(({ dilation }) => dilation),
  pads: [...slides.map(({ before }) => before), ...slides.map(({ after }) => after)],
});
