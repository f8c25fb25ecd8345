/**
 * The k entries with the largest magnitude; of equal ones those that come first.
 *
 * Bits of a float without its sign order as the float does: two counts of 16 bits each find the least that is taken,
 * in time that grows with the length alone.
 *
 * @param vector  finite numbers
 * @returns ascending indices, k or fewer: never one of a zero
 */
export function topK(vector: Float32Array, k: number): Uint32Array {
  const bits = new Uint32Array(vector.buffer, vector.byteOffset, vector.length);
  const upper = new Uint32Array(2 ** 15);
  for (const word of bits) upper[(word >>> 16) & 0x7fff] = (upper[(word >>> 16) & 0x7fff] as number) + 1;
  const high = fallTo(upper, k);
  const lower = new Uint32Array(2 ** 16);
  for (const word of bits)
    if (((word >>> 16) & 0x7fff) === high.at) lower[word & 0xffff] = (lower[word & 0xffff] as number) + 1;
  const low = fallTo(lower, k - high.above);
  const least = high.at * 2 ** 16 + low.at;
  let equals = k - high.above - low.above;
  const indices = new Uint32Array(Math.min(k, vector.length));
  let taken = 0;
  for (let i = 0; i < bits.length; i++) {
    const magnitude = (bits[i] as number) & 0x7fffffff;
    if (magnitude === 0 || magnitude < least) continue;
    if (magnitude === least && equals-- <= 0) continue;
    indices[taken++] = i;
  }
  return indices.slice(0, taken);
}

/** From the highest class down, the one in which the k-th is, and how many are above it. Class 0 when there are fewer. */
function fallTo(counts: Uint32Array, k: number): { at: number; above: number } {
  let above = 0;
  for (let at = counts.length - 1; at > 0; at--) {
    const count = counts[at] as number;
    if (above + count >= k) return { at, above };
    above += count;
  }
  return { at: 0, above };
}
