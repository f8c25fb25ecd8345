/** Goes through the coordinates, with the values that updates have there in ascending order, always in the same array. */
export function* ordered(values: readonly Int32Array[]): Generator<readonly [at: number, sorted: Int32Array]> {
  const sorted = new Int32Array(values.length);
  const length = values[0]?.length ?? 0;
  for (let at = 0; at < length; at++) {
    // Sorting as they come: for as few as there are it beats the engine's own sort.
    for (let i = 0; i < values.length; i++) {
      const value = (values[i] as Int32Array)[at] as number;
      let place = i;
      for (; place > 0 && (sorted[place - 1] as number) > value; place--) sorted[place] = sorted[place - 1] as number;
      sorted[place] = value;
    }
    yield [at, sorted];
  }
}
