import type { Value } from "../../onnx/graph-builder.ts";
import { int64s } from "../../onnx/tensor-proto.ts";
import { returnToPositions } from "../positions.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Operators that put tensors together, take them apart, cut and pad them. */
export const section: Readonly<Record<string, GradientRule>> = {
  Concat: (at) => {
    const { g, inputs, dY } = at;
    const axis = at.number("axis", 0);
    const parts = inputs.filter((input) => input !== undefined);
    return parts.length === 1 ? [dY] : g.split(dY, sizesAlong(at, parts, axis), parts.length, axis);
  },
  Split: (at) => {
    const { g, outputs, upstream } = at;
    const parts = outputs.map((output, index) => upstream[index] ?? (output && g.zerosLike(output)));
    return [
      g.concat(
        parts.filter((part) => part !== undefined),
        at.number("axis", 0),
      ),
    ];
  },
  Slice: (at) => {
    const { g, a: x, dY, inputs } = at;
    const margins = marginsOfSlice(at);
    if (margins) return [padded(at, dY, margins.pads, margins.axes)];
    const [, starts, ends, axes, steps] = inputs.map((input) => input ?? null);
    const slice = (positions: Value): Value =>
      g.op("Slice", [positions, starts ?? null, ends ?? null, axes ?? null, steps ?? null]);
    return [returnToPositions(g, x, dY, slice)];
  },
  Pad: (at) => {
    const { g, a: x, b: pads, inputs, dY } = at;
    const mode = at.text("mode", "constant");
    const axes = inputs[3] ?? null;
    if (mode !== "constant")
      return [returnToPositions(g, x, dY, (positions) => g.op("Pad", [positions, pads, null, axes], { mode }))];
    // Negative pads cut off: what was put on goes, and where something was cut off, zeros come.
    const dX = g.op("Pad", [dY, g.neg(pads), null, axes]);
    return at.wants(2) ? [dX, undefined, g.sub(g.sum(dY), g.sum(dX))] : [dX];
  },
};

/** How many elements each has along an axis: numbers where they are known. */
function sizesAlong({ g }: NodeGradient, parts: readonly Value[], axis: number): readonly number[] | Value {
  const known = parts.map(({ shape }) => shape?.at(axis));
  if (known.every((size) => typeof size === "number")) return known;
  return g.concat(
    parts.map((part) => g.gather(g.shapeOf(part), int64s([axis]))),
    0,
  );
}

/** Zeros around a value: those before along each axis, then those after. */
const padded = ({ g }: NodeGradient, value: Value, pads: readonly number[], axes: readonly number[]): Value =>
  g.op("Pad", [value, pads, null, axes]);

/** What a slice without strides left out on both sides; undefined where it takes steps, or is not known now. */
function marginsOfSlice({ g, a: x, inputs }: NodeGradient) {
  const listOf = (place: number): readonly number[] | undefined => {
    const input = inputs[place];
    const stored = input && g.stored(input.name);
    return stored && Array.from<unknown, number>(stored.data, Number);
  };
  const isOpen = [1, 2, 3, 4].some((place) => inputs[place] && !listOf(place));
  const starts = listOf(1);
  const ends = listOf(2);
  if (isOpen || !starts || !ends || listOf(4)?.some((step) => step !== 1)) return undefined;
  const axes = listOf(3) ?? starts.map((_, axis) => axis);
  const sizes = axes.map((axis) => x.shape?.at(axis));
  if (!sizes.every((size) => typeof size === "number")) return undefined;
  const clamp = (place: number, size: number): number => Math.min(Math.max(place < 0 ? place + size : place, 0), size);
  const before = sizes.map((size, index) => clamp(starts[index] ?? 0, size));
  const after = sizes.map((size, index) => size - Math.max(clamp(ends[index] ?? 0, size), before[index] ?? 0));
  return { pads: [...before, ...after], axes };
}
