import { axisOf, broadcastAt, commonDims, NdArray, product } from "./array.ts";
import { need, numberOf, numbersOf, textOf } from "./attributes.ts";
import type { Naive, NaiveInputs } from "./operators.ts";

/** The same numbers, row by row, in another shape. */
const reshaped = (dims: (x: NdArray, inputs: NaiveInputs) => readonly number[]): Naive => {
  return (inputs) => {
    const x = need(inputs, 0);
    return [new NdArray(dims(x, inputs), x.data)];
  };
};

const listOf = (inputs: NaiveInputs, place: number): number[] => Array.from(need(inputs, place).data);

/** Where an index that runs over the edge comes from; undefined: from nowhere. */
function mirrored(index: number, size: number, mode: string): number | undefined {
  if (index >= 0 && index < size) return index;
  if (mode === "edge") return index < 0 ? 0 : size - 1;
  if (mode === "wrap") return ((index % size) + size) % size;
  if (mode === "reflect") return index < 0 ? -index : 2 * (size - 1) - index;
  return undefined;
}

export const placement: Readonly<Record<string, Naive>> = {
  Reshape: (inputs, attributes) => {
    const x = need(inputs, 0);
    const isCopied = numberOf(attributes, "allowzero", 0) === 0;
    const wanted = listOf(inputs, 1).map((size, axis) => (size === 0 && isCopied ? (x.dims[axis] ?? 0) : size));
    const rest = x.data.length / product(wanted.filter((size) => size !== -1));
    return [
      new NdArray(
        wanted.map((size) => (size === -1 ? rest : size)),
        x.data,
      ),
    ];
  },
  Flatten: (inputs, attributes) => {
    const x = need(inputs, 0);
    const axis = axisOf(numberOf(attributes, "axis", 1), x.rank);
    return [new NdArray([product(x.dims.slice(0, axis)), product(x.dims.slice(axis))], x.data)];
  },
  Squeeze: reshaped((x, inputs) => {
    const axes = inputs[1] ? listOf(inputs, 1).map((axis) => axisOf(axis, x.rank)) : undefined;
    return x.dims.filter((size, axis) => (axes ? !axes.includes(axis) : size !== 1));
  }),
  Unsqueeze: reshaped((x, inputs) => {
    const axes = listOf(inputs, 1).map((axis) => axisOf(axis, x.rank + need(inputs, 1).data.length));
    const rest = [...x.dims];
    return Array.from({ length: x.rank + axes.length }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() ?? 1)));
  }),
  Transpose: (inputs, attributes) => {
    const x = need(inputs, 0);
    const perm = numbersOf(attributes, "perm") ?? x.dims.map((_, axis) => x.rank - 1 - axis);
    const dims = perm.map((axis) => x.dims[axis] ?? 1);
    return [NdArray.from(dims, (place) => x.at(x.dims.map((_, axis) => place[perm.indexOf(axis)] ?? 0)))];
  },
  Expand: (inputs) => {
    const x = need(inputs, 0);
    return [NdArray.from(commonDims([x.dims, listOf(inputs, 1)]), (place) => broadcastAt(x, place))];
  },
  Tile: (inputs) => {
    const x = need(inputs, 0);
    const repeats = listOf(inputs, 1);
    const dims = x.dims.map((size, axis) => size * (repeats[axis] ?? 1));
    return [NdArray.from(dims, (place) => x.at(place.map((index, axis) => index % (x.dims[axis] ?? 1))))];
  },
  SpaceToDepth: (inputs, attributes) => {
    const x = need(inputs, 0);
    const size = numberOf(attributes, "blocksize", 1);
    const [batch = 1, depth = 1, height = 1, width = 1] = x.dims;
    return [
      NdArray.from([batch, depth * size * size, height / size, width / size], ([n = 0, c = 0, h = 0, w = 0]) => {
        const block = Math.floor(c / depth);
        return x.at([n, c % depth, h * size + Math.floor(block / size), w * size + (block % size)]);
      }),
    ];
  },
  DepthToSpace: (inputs, attributes) => {
    const x = need(inputs, 0);
    const size = numberOf(attributes, "blocksize", 1);
    const [batch = 1, depth = 1, height = 1, width = 1] = x.dims;
    const out = depth / (size * size);
    return [
      NdArray.from([batch, out, height * size, width * size], ([n = 0, c = 0, h = 0, w = 0]) => {
        const block = (h % size) * size + (w % size);
        return x.at([n, block * out + c, Math.floor(h / size), Math.floor(w / size)]);
      }),
    ];
  },
  Concat: (inputs, attributes) => {
    const parts = inputs.map((_, place) => need(inputs, place));
    const [first] = parts;
    const axis = axisOf(numberOf(attributes, "axis", 0), first?.rank ?? 0);
    const sizes = parts.map((part) => part.dims[axis] ?? 0);
    const dims = (first?.dims ?? []).with(
      axis,
      sizes.reduce((a, b) => a + b, 0),
    );
    const data = NdArray.from(dims, (place) => {
      let offset = place[axis] ?? 0;
      const nth = sizes.findIndex((size) => {
        if (offset < size) return true;
        offset -= size;
        return false;
      });
      return need(parts, nth).at(place.with(axis, offset));
    });
    return [data];
  },
  Split: (inputs, attributes) => {
    const x = need(inputs, 0);
    const axis = axisOf(numberOf(attributes, "axis", 0), x.rank);
    const whole = x.dims[axis] ?? 0;
    const count = numberOf(attributes, "num_outputs", 1);
    const part = Math.ceil(whole / count);
    const sizes = inputs[1]
      ? listOf(inputs, 1)
      : Array.from({ length: count }, (_, nth) => Math.min(part, whole - nth * part));
    return sizes.map((size, nth) => {
      const from = sizes.slice(0, nth).reduce((a, b) => a + b, 0);
      return NdArray.from(x.dims.with(axis, size), (place) => x.at(place.with(axis, (place[axis] ?? 0) + from)));
    });
  },
  Slice: (inputs) => {
    const x = need(inputs, 0);
    const starts = listOf(inputs, 1);
    const axes = (inputs[3] ? listOf(inputs, 3) : starts.map((_, axis) => axis)).map((axis) => axisOf(axis, x.rank));
    const runs = x.dims.map((size, axis) => {
      const nth = axes.indexOf(axis);
      const step = nth < 0 ? 1 : (inputs[4]?.data[nth] ?? 1);
      const bound = (value: number): number => {
        const from = value < 0 ? value + size : value;
        return step > 0 ? Math.min(Math.max(from, 0), size) : Math.min(Math.max(from, -1), size - 1);
      };
      const start = nth < 0 ? 0 : bound(starts[nth] ?? 0);
      const end = nth < 0 ? size : bound(inputs[2]?.data[nth] ?? 0);
      return { start, step, count: Math.max(0, Math.ceil((end - start) / step)) };
    });
    return [
      NdArray.from(
        runs.map(({ count }) => count),
        (place) => x.at(runs.map(({ start, step }, axis) => start + (place[axis] ?? 0) * step)),
      ),
    ];
  },
  Pad: (inputs, attributes) => {
    const x = need(inputs, 0);
    const pads = listOf(inputs, 1);
    const axes = (inputs[3] ? listOf(inputs, 3) : x.dims.map((_, axis) => axis)).map((axis) => axisOf(axis, x.rank));
    const mode = textOf(attributes, "mode", "constant");
    const before = x.dims.map((_, axis) => (axes.includes(axis) ? (pads[axes.indexOf(axis)] ?? 0) : 0));
    const dims = x.dims.map((size, axis) => {
      const nth = axes.indexOf(axis);
      return nth < 0 ? size : size + (pads[nth] ?? 0) + (pads[nth + axes.length] ?? 0);
    });
    return [
      NdArray.from(dims, (place) => {
        const own = place.map((index, axis) => mirrored(index - (before[axis] ?? 0), x.dims[axis] ?? 1, mode));
        const inside = own.filter((index) => index !== undefined);
        return inside.length === x.rank ? x.at(inside) : (inputs[2]?.data[0] ?? 0);
      }),
    ];
  },
};
