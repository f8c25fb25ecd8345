import { isUtf8 } from "node:buffer";
import { TidegateError } from "../../base/errors.ts";

const maxDepth = 64;
/** Values of a payload: each takes a byte there, but tens of bytes once it is decoded. */
const maxValues = 2 ** 20;
/** Bytes of a big integer: more than a number holds, less than takes time to convert. */
const maxBigBytes = 32;

const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;
const stop = 0xff;
const indefinite = 31;
const isFloat = (head: number): boolean => head >> 5 === major.simple && (head & 31) >= 25;
/** What may follow a tag: time as text or number, big integers, "this is CBOR". Others are not sensors' affair. */
const tagged: Readonly<Record<number, (head: number) => boolean>> = {
  0: (head) => head >> 5 === major.text,
  1: (head) => head >> 5 <= major.negative || isFloat(head),
  2: (head) => head >> 5 === major.bytes,
  3: (head) => head >> 5 === major.bytes,
  55799: () => true,
};

const malformed = (reason: string): TidegateError => new TidegateError("PAYLOAD_MALFORMED", { codec: "CBOR", reason });

/**
 * Walks a CBOR payload (RFC 8949) without decoding it. What passes is whole, one document, nested no deeper than 64
 * levels, of at most 2^20 values, with keys that are texts or integers, and without tags that stand for more than
 * numbers and times: decoders know dozens of others (regular expressions, references, tables) and trust lengths.
 * @throws TidegateError PAYLOAD_MALFORMED, PAYLOAD_TOO_DEEP, PAYLOAD_TOO_LARGE, PAYLOAD_ENCODING
 */
export function checkCbor(payload: Uint8Array): void {
  if (payload.length === 0) throw malformed("it is empty");
  const end = new Walk(payload).skip(0, 0);
  if (end < payload.length) throw malformed(`it goes on behind its end, at byte ${end}`);
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #values = 0;
  /** Argument of the head read last. */
  #argument = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** @returns where the value that starts at `at` ends */
  skip(at: number, depth: number): number {
    if (depth > maxDepth) throw new TidegateError("PAYLOAD_TOO_DEEP", { limit: maxDepth });
    if (++this.#values > maxValues) {
      const facts = { actual: `more than ${maxValues}`, unit: "values", limit: maxValues };
      throw new TidegateError("PAYLOAD_TOO_LARGE", facts);
    }
    const first = this.#byte(at);
    const kind = first >> 5;
    const info = first & 31;
    if (kind === major.simple) return this.#skipSimple(at, info);
    if (info === indefinite) return this.#skipIndefinite(at, kind, depth);
    const body = this.#head(at, info);
    const length = this.#argument;
    if (kind === major.unsigned || kind === major.negative) return body;
    if (kind === major.tag) return this.#skipTagged(body, length, depth);
    if (kind === major.bytes || kind === major.text) return this.#skipString(body, length, kind);
    let next = body;
    for (let i = 0; i < length; i++) next = this.#skipEntry(next, kind, depth);
    return next;
  }

  #skipEntry(at: number, kind: number, depth: number): number {
    if (kind === major.array) return this.skip(at, depth + 1);
    const key = this.#byte(at) >> 5;
    if (key !== major.text && key !== major.unsigned && key !== major.negative)
      throw malformed(`a key at byte ${at} is neither text nor integer`);
    return this.skip(this.skip(at, depth + 1), depth + 1);
  }

  #skipIndefinite(at: number, kind: number, depth: number): number {
    if (kind !== major.array && kind !== major.map) throw malformed(`a string in pieces at byte ${at} is not taken`);
    let next = at + 1;
    while (this.#byte(next) !== stop) next = this.#skipEntry(next, kind, depth);
    return next + 1;
  }

  #skipString(body: number, length: number, kind: number): number {
    const end = body + length;
    if (end > this.#bytes.length) throw malformed("it is cut off");
    if (kind === major.text && !isUtf8(this.#bytes.subarray(body, end))) throw new TidegateError("PAYLOAD_ENCODING");
    return end;
  }

  #skipTagged(body: number, tag: number, depth: number): number {
    const isItsKind = Object.hasOwn(tagged, tag) ? tagged[tag] : undefined;
    if (!isItsKind) throw malformed(`tag ${tag} is not taken`);
    if (!isItsKind(this.#byte(body))) throw malformed(`what follows tag ${tag} is not of its kind`);
    const end = this.skip(body, depth + 1);
    if ((tag === 2 || tag === 3) && end - body > maxBigBytes) throw malformed("it has an integer of too many digits");
    return end;
  }

  #skipSimple(at: number, info: number): number {
    const size = { 20: 0, 21: 0, 22: 0, 23: 0, 25: 2, 26: 4, 27: 8 }[info];
    if (size === undefined) throw malformed(`byte ${at} starts no value`);
    return this.#within(at + 1 + size);
  }

  #head(at: number, info: number): number {
    this.#argument = info;
    if (info < 24) return at + 1;
    const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[info];
    if (size === undefined) throw malformed(`byte ${at} starts no value`);
    const end = this.#within(at + 1 + size);
    if (size === 1) this.#argument = this.#view.getUint8(at + 1);
    else if (size === 2) this.#argument = this.#view.getUint16(at + 1);
    else if (size === 4) this.#argument = this.#view.getUint32(at + 1);
    else this.#argument = this.#view.getUint32(at + 1) * 2 ** 32 + this.#view.getUint32(at + 5);
    return end;
  }

  #byte(at: number): number {
    const byte = this.#bytes[at];
    if (byte === undefined) throw malformed("it is cut off");
    return byte;
  }

  #within(end: number): number {
    if (end > this.#bytes.length) throw malformed("it is cut off");
    return end;
  }
}
