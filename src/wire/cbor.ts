import { Decoder, Encoder } from "cbor-x";

/** What a peer's CBOR may be made of. */
export type CborLimits = {
  /** Nesting of arrays and maps. */
  readonly maxDepth: number;
  /** Values of any kind in the whole document. */
  readonly maxItems: number;
};

const options = { useRecords: false, mapsAsObjects: true, tagUint8Array: false, variableMapSize: true } as const;
const encoder = new Encoder(options);
const decoder = new Decoder(options);

/** Plain CBOR (RFC 8949): maps with text keys, arrays, byte strings, texts, numbers, booleans, null; no tags. */
export const encodeCbor = (value: object): Uint8Array => new Uint8Array(encoder.encode(value));

/**
 * Decodes plain CBOR of a peer. Byte strings are views on `bytes`.
 *
 * The document is walked before the library sees it, since that knows dozens of tags (dates, regular expressions,
 * typed arrays, references, packed tables) and believes lengths: none of those gets through here.
 * @throws Error with the reason, in plain words, when it is cut off, nested too deeply, too large, or not plain
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits): unknown {
  const end = new Walk(bytes, limits).skip(0, 0);
  if (end !== bytes.length) throw new Error("bytes are left over");
  return decoder.decode(bytes);
}

const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #maxDepth: number;
  #itemsLeft: number;

  constructor(bytes: Uint8Array, { maxDepth, maxItems }: CborLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#maxDepth = maxDepth;
    this.#itemsLeft = maxItems;
  }

  /** Returns where the value that starts at `at` ends. */
  skip(at: number, depth: number): number {
    if (--this.#itemsLeft < 0) throw new Error("it has too many values");
    if (depth > this.#maxDepth) throw new Error("it is nested too deeply");
    const first = this.#bytes[at];
    if (first === undefined) throw new Error("it is cut off");
    const kind = first >> 5;
    if (kind === major.simple) return this.#skipSimple(at, first & 31);
    if (kind === major.tag) throw new Error("it has tags");
    const { length, body } = this.#length(at, first & 31);
    if (kind === major.unsigned || kind === major.negative) return body;
    // Every value takes a byte or more: a length beyond the end is a lie, found before anything is allocated for it.
    const atLeast = kind === major.map ? 2 * length : length;
    if (atLeast > this.#bytes.length - body) throw new Error("it is cut off");
    if (kind === major.bytes || kind === major.text) return body + length;
    let next = body;
    for (let i = 0; i < length; i++) {
      if (kind === major.map) {
        if ((this.#bytes[next] ?? 0) >> 5 !== major.text) throw new Error("a key of a map is not text");
        next = this.skip(next, depth + 1);
      }
      next = this.skip(next, depth + 1);
    }
    return next;
  }

  #length(at: number, info: number): { length: number; body: number } {
    if (info < 24) return { length: info, body: at + 1 };
    const bytes = { 24: 1, 25: 2, 26: 4, 27: 8 }[info];
    if (bytes === undefined) throw new Error("it has lengths that are not definite");
    const body = at + 1 + bytes;
    if (body > this.#bytes.length) throw new Error("it is cut off");
    if (bytes === 1) return { length: this.#view.getUint8(at + 1), body };
    if (bytes === 2) return { length: this.#view.getUint16(at + 1), body };
    if (bytes === 4) return { length: this.#view.getUint32(at + 1), body };
    return { length: Number(this.#view.getBigUint64(at + 1)), body };
  }

  #skipSimple(at: number, info: number): number {
    const bytes = { 20: 0, 21: 0, 22: 0, 25: 2, 26: 4, 27: 8 }[info];
    if (bytes === undefined) throw new Error("it has values that are not plain");
    const end = at + 1 + bytes;
    if (end > this.#bytes.length) throw new Error("it is cut off");
    return end;
  }
}
