import { open, seal } from "../crypto/sealing.ts";
import type { SealedKind, StorageKeys } from "../crypto/storage-keys.ts";
import { corrupt } from "./byte-stream.ts";

/** Seals and opens the rows of one buffer file: its epoch is part of every key. */
export class SealedRows {
  readonly #keys: StorageKeys;
  readonly epoch: number;

  constructor(keys: StorageKeys, epoch: number) {
    this.#keys = keys;
    this.epoch = epoch;
  }

  /** Makes the key of a stream unless it is there. Stream 0 is the gateway itself. */
  begin(stream: number): void {
    this.#keys.begin(stream, this.epoch);
  }

  seal(stream: number, kind: SealedKind, sequence: number, plain: Uint8Array): Buffer {
    return Buffer.from(seal(plain, this.#keys.pieceKey(stream, this.epoch, kind, sequence)));
  }

  sealJson(stream: number, kind: SealedKind, sequence: number, value: unknown): Buffer {
    return this.seal(stream, kind, sequence, Buffer.from(JSON.stringify(value)));
  }

  /** @throws TidegateError PIECE_CORRUPT, KEY_DESTROYED */
  open(stream: number, kind: SealedKind, sequence: number, sealed: unknown): Uint8Array {
    const plain = sealed instanceof Uint8Array && open(sealed, this.#keys.pieceKey(stream, this.epoch, kind, sequence));
    if (!plain) throw corrupt("its seal does not hold");
    return plain;
  }

  openJson<T>(stream: number, kind: SealedKind, sequence: number, sealed: unknown): T {
    return JSON.parse(Buffer.from(this.open(stream, kind, sequence, sealed)).toString("utf8")) as T;
  }
}
