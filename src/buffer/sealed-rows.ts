import { open, seal } from "../crypto/sealing.ts";
import type { SealedKind, StorageKeys } from "../crypto/storage-keys.ts";
import { corrupt } from "./byte-stream.ts";

/** Files that were set aside had lower numbers, fewer than this: no key is used for two files. */
const maxFiles = 2 ** 16;

/**
 * Seals and opens the rows of one buffer file. Each stream has epochs of its own, counted from 0 in each file: what is
 * sealed goes under the newest one, so that an older one can die once nothing that is to stay is sealed under it.
 */
export class SealedRows {
  readonly #keys: StorageKeys;
  readonly file: number;
  readonly #current = new Map<number, number>();

  constructor(keys: StorageKeys, file: number) {
    this.#keys = keys;
    this.file = file;
  }

  /** The epoch of what is sealed from now on. Stream 0 is the gateway itself. */
  epochOf(stream: number): number {
    return this.#current.get(stream) ?? 0;
  }

  /** Makes the key of a stream's epoch unless it is there; `use` makes it the current one. */
  begin(stream: number, epoch = 0): void {
    this.#keys.begin(stream, this.#keyEpoch(epoch));
  }

  use(stream: number, epoch: number): void {
    this.#current.set(stream, epoch);
  }

  seal(stream: number, kind: SealedKind, sequence: number, plain: Uint8Array, epoch = this.epochOf(stream)): Buffer {
    return Buffer.from(seal(plain, this.#keys.pieceKey(stream, this.#keyEpoch(epoch), kind, sequence)));
  }

  sealJson(stream: number, kind: SealedKind, sequence: number, value: unknown, epoch = this.epochOf(stream)): Buffer {
    return this.seal(stream, kind, sequence, Buffer.from(JSON.stringify(value)), epoch);
  }

  /** @throws TidegateError PIECE_CORRUPT, KEY_DESTROYED */
  open(stream: number, kind: SealedKind, sequence: number, sealed: unknown, epoch = this.epochOf(stream)): Uint8Array {
    const key = this.#keys.pieceKey(stream, this.#keyEpoch(epoch), kind, sequence);
    const plain = sealed instanceof Uint8Array && open(sealed, key);
    if (!plain) throw corrupt("its seal does not hold");
    return plain;
  }

  openJson<T>(stream: number, kind: SealedKind, sequence: number, sealed: unknown, epoch = this.epochOf(stream)): T {
    return JSON.parse(Buffer.from(this.open(stream, kind, sequence, sealed, epoch)).toString("utf8")) as T;
  }

  /**
   * Destroys the keys of these streams from before the epochs given, and those of files that were set aside; the
   * key-encryption key is replaced with them. @throws TidegateError KEY_UNWRITABLE, the driver's errors
   */
  destroyBefore(epochs: ReadonlyMap<number, number>): void {
    this.#keys.rotate((stream, keyEpoch) => {
      // Values of state.db, which outlive every file.
      if (keyEpoch === 0) return false;
      if (keyEpoch % maxFiles !== this.file) return true;
      return Math.floor(keyEpoch / maxFiles) < (epochs.get(stream) ?? 0);
    });
  }

  #keyEpoch(epoch: number): number {
    return epoch * maxFiles + this.file;
  }
}
