import { corrupt, maxZigzag } from "./byte-stream.ts";

/**
 * How likely each of many bits is to be set, learnt from those before it: the odds out of 65,536 in the upper bits, in
 * the lower eight how many bits they were learnt from.
 */
type Odds = Int32Array;

const newOdds = (size: number): Odds => new Int32Array(size).fill((2 ** 15) << 8);

/** How far a bit moves its odds: far at first, less from bit to bit, and never so little that a change is missed. */
const paces = Int32Array.from({ length: 96 }, (_, seen) => Math.round(2 ** 15 / (seen + 1.5)));
/** No bit is ever so sure that its contrary would take more than 11 bits. */
const [least, most] = [24, 2 ** 16 - 24];

function learn(odds: Odds, at: number, bit: number): void {
  const state = odds[at] as number;
  const set = state >> 8;
  const seen = state & 255;
  const next = set + (Math.imul((bit === 1 ? most : least) - set, paces[seen] as number) >> 15);
  odds[at] = (next << 8) | (seen < paces.length - 1 ? seen + 1 : seen);
}

/** Bits below the highest one that are learnt; those further down are noise. */
const learntBits = 5;
/** Of the bits read so far, with a one before them: from here on nothing is learnt. */
const notLearnt = 1 << learntBits;
const maxLength = 52;
/** Of numbers that are longer no bit is learnt. */
const maxLearntLength = 16;

/** What is known of the numbers of one column: how long they are, and how their highest bits are spread. */
export class NumberModel {
  readonly lengths = newOdds(maxLength + 1);
  readonly tops = newOdds((maxLearntLength + 1) << learntBits);
}

const firstByte = 0xff << 24;

/**
 * Where the interval from `low` to `high` is split: never at its upper end. Ends of intervals are 32 bits without a sign,
 * held as whole numbers with one: engines calculate with those at their fastest.
 */
function splitOf(low: number, high: number, set: number): number {
  const range = high - low;
  return (low + Math.imul(range >>> 16, set) + (Math.imul(range & 0xffff, set) >>> 16)) | 0;
}

/**
 * Writes whole numbers by an adaptive binary arithmetic code: what is likely in its column takes a fraction of a bit.
 * @see Witten, Neal, Cleary 1987, "Arithmetic Coding for Data Compression"
 */
export class NumberWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  #low = 0;
  #high = -1;

  /** @param value  below 2^51 either side of 0 */
  write(value: number, { lengths, tops }: NumberModel): void {
    if (!(Math.abs(value) < maxZigzag)) throw new RangeError("a number is too large");
    const plain = value < 0 ? -2 * value - 1 : 2 * value;
    // Engines shift 32 bits at most.
    const high = Math.floor(plain / 2 ** 31);
    const low = plain % 2 ** 31;
    const length = high > 0 ? 63 - Math.clz32(high) : 32 - Math.clz32(low);
    for (let i = 0; i < length; i++) this.#bit(1, lengths, i);
    this.#bit(0, lengths, length);
    let top = length > maxLearntLength ? notLearnt : 1;
    for (let at = length - 2; at >= 0; at--) {
      const bit = at >= 31 ? (high >>> (at - 31)) & 1 : (low >>> at) & 1;
      if (top < notLearnt) {
        this.#bit(bit, tops, (length << learntBits) | top);
        top = (top << 1) | bit;
      } else this.#code(bit, 2 ** 15);
    }
  }

  #bit(bit: number, odds: Odds, at: number): void {
    this.#code(bit, (odds[at] as number) >> 8);
    learn(odds, at, bit);
  }

  #code(bit: number, set: number): void {
    let low = this.#low;
    let high = this.#high;
    const split = splitOf(low, high, set);
    if (bit === 1) high = split;
    else low = (split + 1) | 0;
    while (((low ^ high) & firstByte) === 0) {
      this.#put(high >>> 24);
      low <<= 8;
      high = (high << 8) | 255;
    }
    this.#low = low;
    this.#high = high;
  }

  #put(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** Ends it: zeros may follow. */
  finish(): Uint8Array {
    // Low and high differ in their first byte: one more than that of low, and zeros, lie between them.
    if (this.#low !== 0) this.#put((this.#low >>> 24) + 1);
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what `NumberWriter` wrote, with the same models in the same order. Past the end is PIECE_CORRUPT. */
export class NumberReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #low = 0;
  #high = -1;
  #code = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#next();
  }

  read({ lengths, tops }: NumberModel): number {
    let length = 0;
    while (this.#bit(lengths, length) === 1) if (++length > maxLength) throw corrupt("a number is too long");
    if (length === 0) return 0;
    let plain = 1;
    let top = length > maxLearntLength ? notLearnt : 1;
    for (let at = length - 2; at >= 0; at--) {
      const isLearnt = top < notLearnt;
      const bit = isLearnt ? this.#bit(tops, (length << learntBits) | top) : this.#read(2 ** 15);
      if (isLearnt) top = (top << 1) | bit;
      plain = plain * 2 + bit;
    }
    return plain % 2 === 0 ? plain / 2 : -(plain + 1) / 2;
  }

  #bit(odds: Odds, at: number): number {
    const bit = this.#read((odds[at] as number) >> 8);
    learn(odds, at, bit);
    return bit;
  }

  #read(set: number): number {
    let low = this.#low;
    let high = this.#high;
    const split = splitOf(low, high, set);
    const bit = this.#code >>> 0 <= split >>> 0 ? 1 : 0;
    if (bit === 1) high = split;
    else low = (split + 1) | 0;
    while (((low ^ high) & firstByte) === 0) {
      low <<= 8;
      high = (high << 8) | 255;
      this.#next();
    }
    this.#low = low;
    this.#high = high;
    return bit;
  }

  #next(): void {
    // The code ends early: zeros that nobody wrote follow, four at most, and one that is never looked at.
    if (this.#at > this.#bytes.length + 4) throw corrupt("its numbers run over the end");
    this.#code = (this.#code << 8) | (this.#bytes[this.#at++] ?? 0);
  }
}
