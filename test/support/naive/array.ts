/** An array of float64, row by row: slow and plain, to hold quick kernels to. */
export class NdArray {
  readonly dims: readonly number[];
  readonly data: Float64Array;

  constructor(dims: readonly number[], data: ArrayLike<number>) {
    this.dims = dims;
    this.data = Float64Array.from(data);
    if (this.data.length !== product(dims)) throw new Error(`${data.length} numbers for [${dims}]`);
  }

  /** The array with this number at each place. */
  static from(dims: readonly number[], at: (index: readonly number[]) => number): NdArray {
    const data = new Float64Array(product(dims));
    let place = 0;
    for (const index of placesOf(dims)) data[place++] = at(index);
    return new NdArray(dims, data);
  }

  at(index: readonly number[]): number {
    let place = 0;
    for (const [axis, size] of this.dims.entries()) place = place * size + (index[axis] ?? 0);
    const value = this.data[place];
    if (value === undefined) throw new Error(`no place ${index} in [${this.dims}]`);
    return value;
  }

  get rank(): number {
    return this.dims.length;
  }
}

/** Every index of a shape, the last axis running fastest. */
export function* placesOf(dims: readonly number[]): Generator<readonly number[]> {
  const total = product(dims);
  for (let place = 0; place < total; place++) {
    const index: number[] = [];
    for (let rest = place, axis = dims.length - 1; axis >= 0; axis--) {
      const size = dims[axis] ?? 1;
      index[axis] = rest % size;
      rest = Math.floor(rest / size);
    }
    yield index;
  }
}

export const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);

/** An axis counted from the front. */
export const axisOf = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** The shape that shapes broadcast to. */
export function commonDims(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((dims) => dims[axis - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** The number that stands at a place of the shape that `array` is broadcast to. */
export const broadcastAt = (array: NdArray, index: readonly number[]): number =>
  array.at(array.dims.map((size, axis) => (size === 1 ? 0 : (index[axis + index.length - array.rank] ?? 0))));

/** A function of arrays, place by place, with broadcasting. */
export function zip(arrays: readonly NdArray[], f: (...numbers: number[]) => number): NdArray {
  const dims = commonDims(arrays.map((array) => array.dims));
  return NdArray.from(dims, (index) => f(...arrays.map((array) => broadcastAt(array, index))));
}

export const map = (array: NdArray, f: (x: number) => number): NdArray =>
  new NdArray(array.dims, Array.from(array.data, f));
