import { axisOf, NdArray, placesOf } from "./array.ts";
import { need, numberOf, textOf } from "./attributes.ts";
import type { Naive } from "./operators.ts";

/** Writes numbers over those of an array, or adds them. */
function written(x: NdArray, writes: Iterable<readonly [readonly number[], number]>, isAdding: boolean): NdArray {
  const result = new NdArray(x.dims, x.data);
  for (const [place, value] of writes) {
    const index = place.map((own, axis) => axisOf(own, x.dims[axis] ?? 1));
    const nth = index.reduce((sum, own, axis) => sum * (x.dims[axis] ?? 1) + own, 0);
    result.data[nth] = isAdding ? (result.data[nth] ?? 0) + value : value;
  }
  return result;
}

export const selection: Readonly<Record<string, Naive>> = {
  Gather: (inputs, attributes) => {
    const x = need(inputs, 0);
    const index = need(inputs, 1);
    const axis = axisOf(numberOf(attributes, "axis", 0), x.rank);
    const dims = [...x.dims.slice(0, axis), ...index.dims, ...x.dims.slice(axis + 1)];
    return [
      NdArray.from(dims, (place) => {
        const own = axisOf(index.at(place.slice(axis, axis + index.rank)), x.dims[axis] ?? 1);
        return x.at([...place.slice(0, axis), own, ...place.slice(axis + index.rank)]);
      }),
    ];
  },
  GatherElements: (inputs, attributes) => {
    const x = need(inputs, 0);
    const index = need(inputs, 1);
    const axis = axisOf(numberOf(attributes, "axis", 0), x.rank);
    return [NdArray.from(index.dims, (place) => x.at(place.with(axis, axisOf(index.at(place), x.dims[axis] ?? 1))))];
  },
  GatherND: (inputs, attributes) => {
    const x = need(inputs, 0);
    const index = need(inputs, 1);
    const batch = numberOf(attributes, "batch_dims", 0);
    const depth = index.dims.at(-1) ?? 0;
    const rows = index.dims.slice(0, -1);
    return [
      NdArray.from([...rows, ...x.dims.slice(batch + depth)], (place) => {
        const row = place.slice(0, rows.length);
        const own = Array.from({ length: depth }, (_, nth) =>
          axisOf(index.at([...row, nth]), x.dims[batch + nth] ?? 1),
        );
        return x.at([...place.slice(0, batch), ...own, ...place.slice(rows.length)]);
      }),
    ];
  },
  ScatterElements: (inputs, attributes) => {
    const x = need(inputs, 0);
    const index = need(inputs, 1);
    const updates = need(inputs, 2);
    const axis = axisOf(numberOf(attributes, "axis", 0), x.rank);
    const writes = [...placesOf(index.dims)].map(
      (place) => [place.with(axis, index.at(place)), updates.at(place)] as const,
    );
    return [written(x, writes, textOf(attributes, "reduction", "none") === "add")];
  },
  ScatterND: (inputs, attributes) => {
    const x = need(inputs, 0);
    const index = need(inputs, 1);
    const updates = need(inputs, 2);
    const rows = index.dims.slice(0, -1);
    const writes = [...placesOf(updates.dims)].map((place) => {
      const row = place.slice(0, rows.length);
      const own = Array.from({ length: index.dims.at(-1) ?? 0 }, (_, nth) => index.at([...row, nth]));
      return [[...own, ...place.slice(rows.length)], updates.at(place)] as const;
    });
    return [written(x, writes, textOf(attributes, "reduction", "none") === "add")];
  },
  OneHot: (inputs, attributes) => {
    const index = need(inputs, 0);
    const [depth = 0] = need(inputs, 1).data;
    const [off = 0, on = 0] = need(inputs, 2).data;
    const axis = axisOf(numberOf(attributes, "axis", -1), index.rank + 1);
    return [
      NdArray.from(index.dims.toSpliced(axis, 0, depth), (place) =>
        axisOf(index.at(place.toSpliced(axis, 1)), depth) === place[axis] ? on : off,
      ),
    ];
  },
  TopK: (inputs, attributes) => {
    const x = need(inputs, 0);
    const axis = axisOf(numberOf(attributes, "axis", -1), x.rank);
    const sign = numberOf(attributes, "largest", 1) === 1 ? -1 : 1;
    return [
      NdArray.from(x.dims.with(axis, need(inputs, 1).data[0] ?? 0), (place) => {
        const line = Array.from({ length: x.dims[axis] ?? 0 }, (_, index) => x.at(place.with(axis, index)));
        return line.toSorted((a, b) => sign * (a - b))[place[axis] ?? 0] ?? Number.NaN;
      }),
    ];
  },
};
