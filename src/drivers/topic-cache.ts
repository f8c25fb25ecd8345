const slots = 1_024;
const maxBytes = 256;

type Known = { readonly bytes: Uint8Array; readonly text: string };

/** Topics as text. A site has few of them and says each very often: what is known costs no new string. */
export class TopicCache {
  readonly #slots = new Array<Known | undefined>(slots);

  textOf(bytes: Buffer, from: number, to: number): string {
    const length = to - from;
    if (length > maxBytes) return bytes.toString("utf8", from, to);
    let hash = length;
    for (let i = from; i < to; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0;
    const slot = (hash ^ (hash >>> 10)) & (slots - 1);
    const known = this.#slots[slot];
    if (known !== undefined && isSame(known.bytes, bytes, from, length)) return known.text;
    const text = bytes.toString("utf8", from, to);
    this.#slots[slot] = { bytes: Uint8Array.from(bytes.subarray(from, to)), text };
    return text;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, from: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}
