import { type BitReader, type BitWriter, malformed } from "./bit-stream.ts";

/** A quotient of so many ones is followed by the whole gap in 32 bits. */
const longest = 20;

/**
 * The mean of the gaps seen lately, which says how many low bits of the next gap are written as they are. Starts with
 * what evenly spread indices would have, and halves its memory, so that it follows layers of different density.
 */
class GapMean {
  #sum: number;
  #count = 4;

  constructor(mean: number) {
    this.#sum = Math.round(4 * mean);
  }

  /** Low bits: the most for which 2^bits is not above the mean times ln 2, near the best there is for chance gaps. */
  get bits(): number {
    const fitting = (this.#sum * Math.LN2) / this.#count;
    return fitting < 2 ? 0 : 31 - Math.clz32(fitting);
  }

  add(gap: number): void {
    this.#sum += gap;
    if (++this.#count < 64) return;
    this.#sum = Math.ceil(this.#sum / 2);
    this.#count /= 2;
  }
}

const meanGap = (count: number, length: number): number => Math.max(0, length / count - 1);

/**
 * Writes ascending indices as the gaps between them, by an adaptive Golomb-Rice code.
 * @param length  of the vector that they point into: all are below it
 * @see Golomb 1966, "Run-length encodings"; Rice 1979; Weinberger et al. 2000 (LOCO-I) for how the code adapts
 */
export function writeIndices(indices: Uint32Array, length: number, to: BitWriter): void {
  const mean = new GapMean(meanGap(indices.length, length));
  let next = 0;
  for (const index of indices) {
    const gap = index - next;
    const { bits } = mean;
    const quotient = Math.floor(gap / 2 ** bits);
    if (quotient < longest) {
      to.unary(quotient);
      to.write(gap % 2 ** bits, bits);
    } else {
      to.unary(longest);
      to.write(gap, 32);
    }
    mean.add(gap);
    next = index + 1;
  }
}

/**
 * Reads what `writeIndices` wrote: they ascend, and all are below `length`.
 * @throws TidegateError UPDATE_INVALID
 */
export function readIndices(count: number, length: number, from: BitReader): Uint32Array {
  if (count > length) throw malformed(`it lists ${count} coordinates of ${length}`);
  const indices = new Uint32Array(count);
  const mean = new GapMean(meanGap(count, length));
  let next = 0;
  for (let i = 0; i < count; i++) {
    const { bits } = mean;
    const quotient = from.unary(longest);
    const gap = quotient === longest ? from.read(32) : quotient * 2 ** bits + from.read(bits);
    next += gap;
    if (next >= length) throw malformed(`it lists coordinate ${next} of ${length}`);
    indices[i] = next++;
    mean.add(gap);
  }
  return indices;
}
