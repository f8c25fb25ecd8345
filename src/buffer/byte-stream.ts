import { TidegateError } from "../base/errors.ts";

/** Largest magnitude that a zigzag number may have, so that twice of it is still exact. */
export const maxZigzag = 2 ** 51;

/** Appends numbers and bytes to a buffer that grows. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  /** A whole number from 0 to 2^53, seven bits a byte. */
  varint(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  float64(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Bytes behind their length. */
  block(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  text(text: string): void {
    this.block(Buffer.from(text));
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what `ByteWriter` wrote. Every read past the end is PIECE_CORRUPT. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A plain view: a Buffer's slice would share the memory that it is cut from.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || scale > 2 ** 56) throw corrupt("a number runs over the end");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  /** A count of things that take at least `least` bytes each: never more than can follow. */
  count(least = 0): number {
    const count = this.varint();
    if (count > 2 ** 26 || count * least > this.#bytes.length - this.#at) throw corrupt("a count is too large");
    return count;
  }

  float64(): number {
    if (this.#at + 8 > this.#bytes.length) throw corrupt("a number runs over the end");
    const value = this.#view.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  block(): Uint8Array {
    return this.take(this.count(1));
  }

  /** The next so many bytes. */
  take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw corrupt("bytes run over the end");
    const bytes = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  /** All that follows. */
  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at);
  }

  text(): string {
    return Buffer.from(this.block()).toString("utf8");
  }
}

export const corrupt = (reason: string): TidegateError => new TidegateError("PIECE_CORRUPT", { reason });
