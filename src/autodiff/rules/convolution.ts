import type { Value } from "../../onnx/graph-builder.ts";
import { kernelGradient } from "../kernel-gradient.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";
import { slideAttributes, slideBack, slidesOf, transposedSlidesOf } from "../slide.ts";

/** Convolutions, over any number of spatial axes. */
export const convolution: Readonly<Record<string, GradientRule>> = {
  Conv: (at) => {
    const { g, a: x, b: kernel, dY } = at;
    const group = at.number("group", 1);
    const slides = slidesOf(at, at.space(kernel));
    const dX = g.know(slideBack(g, dY, kernel, slides, group), { shape: x.shape });
    const [places, own] = at.sizes(kernel, "the kernel");
    const meeting = { large: x, small: dY, slides, group, channels: (own ?? 1) * group, places: places ?? 1 };
    return [dX, at.wants(1) ? kernelGradient(g, meeting) : undefined, overChannels(at)];
  },
  ConvTranspose: (at) => {
    const { g, a: x, b: kernel, dY } = at;
    const group = at.number("group", 1);
    const slides = transposedSlidesOf(at, at.space(kernel));
    const dX = g.op("Conv", [dY, kernel], { ...slideAttributes(slides), group });
    const [places, own] = at.sizes(kernel, "the kernel");
    const meeting = { large: dY, small: x, slides, group, channels: (own ?? 1) * group, places: places ?? 1 };
    return [g.know(dX, { shape: x.shape }), at.wants(1) ? kernelGradient(g, meeting) : undefined, overChannels(at)];
  },
};

/** The gradient of a bias: one number for each channel. */
function overChannels(at: NodeGradient): Value | undefined {
  const { g, inputs, dY } = at;
  const bias = inputs[2];
  if (!bias) return undefined;
  const rank = at.rank(at.y, "the output");
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  return g.know(g.sum(dY, axes), { shape: bias.shape });
}
