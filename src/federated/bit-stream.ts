import { TidegateError } from "../base/errors.ts";

export const malformed = (reason: string): TidegateError =>
  new TidegateError("UPDATE_INVALID", { reason: `its body: ${reason}` });

/** Writes numbers of some bits each, highest bit first. */
export class BitWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  /** Bits that do not fill a byte yet, and how many. */
  #held = 0;
  #holds = 0;

  /** @param value  0 to 2^bits - 1; @param bits  0 to 32 */
  write(value: number, bits: number): void {
    // A shift by 32 or more is none: what is held and what is added stay below 24 bits together.
    if (bits > 16) {
      this.write(Math.floor(value / 2 ** 16), bits - 16);
      this.write(value % 2 ** 16, 16);
      return;
    }
    let held = (this.#held << bits) | value;
    let holds = this.#holds + bits;
    while (holds >= 8) {
      holds -= 8;
      this.#put(held >>> holds);
      held &= (1 << holds) - 1;
    }
    this.#held = held;
    this.#holds = holds;
  }

  /** `count` ones and a zero. */
  unary(count: number): void {
    for (let left = count; left > 0; left -= 16) this.write(2 ** Math.min(left, 16) - 1, Math.min(left, 16));
    this.write(0, 1);
  }

  #put(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** Fills the last byte with zeros. */
  finish(): Uint8Array {
    if (this.#holds > 0) this.write(0, 8 - this.#holds);
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what `BitWriter` wrote. Whatever is not so is UPDATE_INVALID; nothing is allocated on the word of a peer. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #held = 0;
  #holds = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @param bits  0 to 32 */
  read(bits: number): number {
    if (bits > 16) return this.read(bits - 16) * 2 ** 16 + this.read(16);
    while (this.#holds < bits) {
      if (this.#at === this.#bytes.length) throw malformed("it is cut off");
      this.#held = (this.#held << 8) | (this.#bytes[this.#at++] as number);
      this.#holds += 8;
    }
    this.#holds -= bits;
    const value = this.#held >>> this.#holds;
    this.#held &= (1 << this.#holds) - 1;
    return value;
  }

  /** How many ones stand before a zero: at most `most`. */
  unary(most: number): number {
    for (let count = 0; count <= most; count++) if (this.read(1) === 0) return count;
    throw malformed("a number in it is too long");
  }

  /** @throws TidegateError UPDATE_INVALID unless everything was read, and the last byte filled with zeros */
  end(): void {
    if (this.#at < this.#bytes.length) throw malformed(`${this.#bytes.length - this.#at} bytes are left over`);
    if (this.#held !== 0) throw malformed("it does not end in zeros");
  }
}
