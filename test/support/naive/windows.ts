import { NdArray, placesOf } from "./array.ts";
import { need, numberOf, numbersOf, textOf } from "./attributes.ts";
import type { Naive, NaiveAttributes } from "./operators.ts";

type Frame = {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
};
type Pads = readonly (readonly [number, number])[];

function frameOf(attributes: NaiveAttributes, kernel: readonly number[]): Frame {
  const ones = kernel.map(() => 1);
  return {
    kernel,
    strides: numbersOf(attributes, "strides") ?? ones,
    dilations: numbersOf(attributes, "dilations") ?? ones,
  };
}

const reachOf = ({ kernel, dilations }: Frame, axis: number): number =>
  ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;

/** Padding before and behind each axis, by `pads` or `auto_pad`. */
function padsOf(attributes: NaiveAttributes, frame: Frame, sizes: readonly number[]): Pads {
  const auto = textOf(attributes, "auto_pad", "NOTSET");
  const pads = numbersOf(attributes, "pads") ?? [];
  return sizes.map((size, axis) => {
    if (!auto.startsWith("SAME")) return [pads[axis] ?? 0, pads[axis + sizes.length] ?? 0];
    const stride = frame.strides[axis] ?? 1;
    const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + reachOf(frame, axis) - size);
    const less = Math.floor(total / 2);
    return auto === "SAME_UPPER" ? [less, total - less] : [total - less, less];
  });
}

function placesAlong(attributes: NaiveAttributes, frame: Frame, sizes: readonly number[], pads: Pads): number[] {
  const isCeil = numberOf(attributes, "ceil_mode", 0) === 1;
  return sizes.map((size, axis) => {
    const [before, after] = pads[axis] ?? [0, 0];
    const stride = frame.strides[axis] ?? 1;
    const exact = (size + before + after - reachOf(frame, axis)) / stride;
    const places = (isCeil ? Math.ceil(exact) : Math.floor(exact)) + 1;
    // A place that would start in the padding behind the input is left out.
    return isCeil && (places - 1) * stride >= size + before ? places - 1 : places;
  });
}

const inputAt = (frame: Frame, pads: Pads, place: readonly number[], tap: readonly number[]): number[] =>
  place.map(
    (at, axis) =>
      at * (frame.strides[axis] ?? 1) + (tap[axis] ?? 0) * (frame.dilations[axis] ?? 1) - (pads[axis]?.[0] ?? 0),
  );

const isWithin = (index: readonly number[], sizes: readonly number[]): boolean =>
  index.every((at, axis) => at >= 0 && at < (sizes[axis] ?? 0));

/** Which input meets which weight in which output: places in their data, three by three. */
type Meetings = { readonly dims: readonly number[]; readonly places: readonly (readonly [number, number, number])[] };

/** Found once for the shapes of a case: central differences ask for the same ones again and again. */
const found = new Map<string, Meetings>();

/** A function that is linear in its first two inputs: the sum over all meetings, with a bias for each channel. */
function bilinear(meet: (x: readonly number[], w: readonly number[], attributes: NaiveAttributes) => Meetings): Naive {
  return (inputs, attributes) => {
    const [x, w, bias] = [need(inputs, 0), need(inputs, 1), inputs[2]];
    const key = JSON.stringify([meet.name, x.dims, w.dims, attributes]);
    const { dims, places } = found.get(key) ?? meet(x.dims, w.dims, attributes);
    found.set(key, { dims, places });
    const y = NdArray.from(dims, ([, channel = 0]) => bias?.at([channel]) ?? 0);
    for (const [to, from, weight] of places)
      y.data[to] = (y.data[to] ?? 0) + (x.data[from] ?? 0) * (w.data[weight] ?? 0);
    return [y];
  };
}

const offset = (dims: readonly number[], index: readonly number[]): number =>
  dims.reduce((place, size, axis) => place * size + (index[axis] ?? 0), 0);

function convMeetings(x: readonly number[], w: readonly number[], attributes: NaiveAttributes): Meetings {
  const [batch = 0, , ...sizes] = x;
  const [filters = 0, own = 0, ...kernel] = w;
  const frame = frameOf(attributes, kernel);
  const pads = padsOf(attributes, frame, sizes);
  const group = numberOf(attributes, "group", 1);
  const dims = [batch, filters, ...placesAlong(attributes, frame, sizes, pads)];
  const places: [number, number, number][] = [];
  for (const [n = 0, k = 0, ...place] of placesOf(dims)) {
    const first = Math.floor(k / (filters / group)) * own;
    for (const [c = 0, ...tap] of placesOf([own, ...kernel])) {
      const at = inputAt(frame, pads, place, tap);
      if (!isWithin(at, sizes)) continue;
      places.push([offset(dims, [n, k, ...place]), offset(x, [n, first + c, ...at]), offset(w, [k, c, ...tap])]);
    }
  }
  return { dims, places };
}

function transposedMeetings(x: readonly number[], w: readonly number[], attributes: NaiveAttributes): Meetings {
  const [batch = 0, channels = 0, ...sizes] = x;
  const [, own = 0, ...kernel] = w;
  const frame = frameOf(attributes, kernel);
  const group = numberOf(attributes, "group", 1);
  const extra = numbersOf(attributes, "output_padding") ?? [];
  const auto = textOf(attributes, "auto_pad", "NOTSET");
  const strideOf = (axis: number): number => frame.strides[axis] ?? 1;
  const full = sizes.map((size, axis) => (size - 1) * strideOf(axis) + reachOf(frame, axis) + (extra[axis] ?? 0));
  const isSame = auto.startsWith("SAME");
  const asked =
    numbersOf(attributes, "output_shape") ?? (isSame ? sizes.map((n, axis) => n * strideOf(axis)) : undefined);
  const explicit = padsOf({ pads: numbersOf(attributes, "pads") ?? [] }, frame, sizes);
  const pads = full.map((size, axis): readonly [number, number] => {
    if (!asked) return explicit[axis] ?? [0, 0];
    const total = Math.max(0, size - (asked[axis] ?? size));
    const before = auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2);
    return [before, total - before];
  });
  const out = asked ?? full.map((size, axis) => size - (pads[axis]?.[0] ?? 0) - (pads[axis]?.[1] ?? 0));
  const dims = [batch, own * group, ...out];
  const places: [number, number, number][] = [];
  for (const [n = 0, c = 0, ...place] of placesOf(x)) {
    const first = Math.floor(c / (channels / group)) * own;
    for (const [j = 0, ...tap] of placesOf([own, ...kernel])) {
      const at = inputAt(frame, pads, place, tap);
      if (!isWithin(at, out)) continue;
      places.push([offset(dims, [n, first + j, ...at]), offset(x, [n, c, ...place]), offset(w, [c, j, ...tap])]);
    }
  }
  return { dims, places };
}

/** @param join  makes one number of those that a place sees; `taps` counts them with the padding that counts */
function pool(join: (seen: readonly number[], taps: number) => number): Naive {
  return (inputs, attributes) => {
    const x = need(inputs, 0);
    const [batch = 0, channels = 0, ...sizes] = x.dims;
    const frame = frameOf(attributes, numbersOf(attributes, "kernel_shape") ?? []);
    const pads = padsOf(attributes, frame, sizes);
    const withPadding = numberOf(attributes, "count_include_pad", 0) === 1;
    const padded = sizes.map((size, axis) => size + (pads[axis]?.[1] ?? 0));
    const y = NdArray.from(
      [batch, channels, ...placesAlong(attributes, frame, sizes, pads)],
      ([n = 0, c = 0, ...place]) => {
        const at = [...placesOf(frame.kernel)].map((tap) => inputAt(frame, pads, place, tap));
        const seen = at.filter((index) => isWithin(index, sizes)).map((index) => x.at([n, c, ...index]));
        const counted = at.filter((index) => index.every((each, axis) => each < (padded[axis] ?? 0)));
        return join(seen, withPadding ? counted.length : seen.length);
      },
    );
    return [y];
  };
}

const overAll = (join: (seen: readonly number[]) => number): Naive => {
  return (inputs) => {
    const x = need(inputs, 0);
    const [batch = 0, channels = 0, ...sizes] = x.dims;
    const places = [...placesOf(sizes)];
    const ones = sizes.map(() => 1);
    return [
      NdArray.from([batch, channels, ...ones], ([n = 0, c = 0]) => join(places.map((place) => x.at([n, c, ...place])))),
    ];
  };
};

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Convolutions and pools. */
export const windows: Readonly<Record<string, Naive>> = {
  Conv: bilinear(convMeetings),
  ConvTranspose: bilinear(transposedMeetings),
  MaxPool: pool((seen) => Math.max(...seen)),
  AveragePool: pool((seen, taps) => sum(seen) / taps),
  GlobalMaxPool: overAll((seen) => Math.max(...seen)),
  GlobalAveragePool: overAll((seen) => sum(seen) / seen.length),
};
