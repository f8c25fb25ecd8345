const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const rounds = 20;

/**
 * Threefry-2x32 with 20 rounds: the 64 random bits that stand at a place, for a key. Any place can be asked for by
 * itself, so a run that was interrupted goes on with the numbers that it would have had.
 *
 * @param out  the two words are written to it
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"
 */
export function threefry(key0: number, key1: number, place0: number, place1: number, out: Uint32Array): void {
  const keys = [key0 | 0, key1 | 0, 0x1bd11bda ^ key0 ^ key1];
  let a = (place0 + key0) | 0;
  let b = (place1 + key1) | 0;
  for (let round = 0; round < rounds; round++) {
    const turn = rotations[round % 8] as number;
    a = (a + b) | 0;
    b = ((b << turn) | (b >>> (32 - turn))) ^ a;
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    a = (a + (keys[injection % 3] as number)) | 0;
    b = (b + (keys[(injection + 1) % 3] as number) + injection) | 0;
  }
  out[0] = a;
  out[1] = b;
}

/** Fills `out` with uniform numbers in [0, 1) that depend on seed, step and their place in `out` alone. */
export function uniformAt(seed: number, step: number, out: Float32Array): void {
  const words = new Uint32Array(2);
  for (let place = 0; place < out.length; place += 2) {
    threefry(seed, step, place, 0, words);
    // 24 bits: what a float32 holds exactly, and never rounds up to 1.
    out[place] = ((words[0] as number) >>> 8) / 2 ** 24;
    if (place + 1 < out.length) out[place + 1] = ((words[1] as number) >>> 8) / 2 ** 24;
  }
}
