import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import type { Sealer } from "./checkpoint.ts";
import type { DataSet } from "./data-set.ts";
import { DataAssembly, type DataHead, takeApart } from "./data-transfer.ts";

const magic = "TGREPLY1";
const hashBytes = 32;

/**
 * Examples of old that are kept against forgetting, between one training and the next.
 *
 * File, sealed as a whole: 8 bytes that tell the format, length of the head (uint32, little-endian), the head as JSON, the
 * arrays of `takeApart` one after the other, and a SHA-256 over all that.
 */
export class ReplayFile {
  readonly #file: string;
  readonly #sealer: Sealer | undefined;

  constructor(file: string, sealer?: Sealer) {
    this.#file = file;
    this.#sealer = sealer;
  }

  async write(kept: DataSet): Promise<void> {
    const { head, parts } = takeApart(kept);
    const text = Buffer.from(JSON.stringify(head));
    const size = Buffer.alloc(4);
    size.writeUInt32LE(text.length);
    const plain = Buffer.concat([Buffer.from(magic), size, text, ...Array.from(parts, ({ bytes }) => bytes)]);
    const whole = Buffer.concat([plain, createHash("sha256").update(plain).digest()]);
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o750 });
    await writeDurably(this.#file, this.#sealer?.seal(whole) ?? whole);
  }

  /** Null when there is none that can be read: its secret was erased, or it is damaged. A new one is begun then. */
  async read(): Promise<DataSet | null> {
    const bytes = await readFile(this.#file).catch(() => null);
    const whole = bytes && (this.#sealer ? this.#sealer.open(bytes) : bytes);
    if (!whole || whole.length < magic.length + 4 + hashBytes) return null;
    const plain = whole.subarray(0, whole.length - hashBytes);
    const hash = createHash("sha256").update(plain).digest();
    const isWhole = hash.equals(whole.subarray(plain.length));
    if (!isWhole || Buffer.from(plain.subarray(0, magic.length)).toString() !== magic) return null;
    const size = new DataView(plain.buffer, plain.byteOffset).getUint32(magic.length, true);
    let at = magic.length + 4 + size;
    const head = JSON.parse(new TextDecoder().decode(plain.subarray(magic.length + 4, at))) as DataHead;
    const assembly = new DataAssembly(head);
    for (const [array, length] of assembly.byteLengths.entries()) {
      assembly.add({ array, offset: 0, bytes: plain.subarray(at, at + length) });
      at += length;
    }
    return assembly.finish();
  }
}
