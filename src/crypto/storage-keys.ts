import { randomBytes } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { deriveKey, keyBytes, open, seal } from "./sealing.ts";

/** Where wrapped keys lie: `state.db`. A delete must not leave the old bytes in the file (`secure_delete`). */
export type WrappedKeyStore = {
  get(name: string): Uint8Array | null;
  put(name: string, value: Uint8Array): void;
  delete(name: string): void;
};

/** What a sealed piece of a stream is; part of its key, so that one kind never passes for another. */
export type SealedKind = "tail" | "block" | "dictionary" | "outbox" | "dead" | "state";

const format = "tidegate/storage/1";
const kekName = "kek/epoch";
const streamName = (stream: number, epoch: number): string => `stream/${stream}/${epoch}`;

/**
 * Keys of the data at rest: storage root and epoch secret give the key-encryption key; it wraps one random key per
 * stream and epoch; that gives one key per sealed piece. The sequence number is part of the last step, so a piece
 * that was moved or swapped does not open. Whoever destroys a stream key has erased the stream.
 */
export class StorageKeys {
  readonly #kek: Uint8Array;
  readonly #store: WrappedKeyStore;
  readonly #streamKeys = new Map<string, Uint8Array>();

  /** @throws TidegateError KEY_WRONG when the store was written under another storage root */
  constructor(storageRoot: Uint8Array, store: WrappedKeyStore) {
    this.#store = store;
    let epochSecret = store.get(kekName);
    if (!epochSecret) {
      epochSecret = new Uint8Array(randomBytes(keyBytes));
      store.put(kekName, epochSecret);
    }
    this.#kek = deriveKey(Buffer.concat([storageRoot, epochSecret]), `${format}/kek`);
    const check = store.get("kek/check");
    if (!check) store.put("kek/check", seal(Buffer.from(format), this.#kek));
    else if (!open(check, this.#kek)) throw new TidegateError("KEY_WRONG", { what: "the storage root" });
  }

  /** Makes the key of a stream's epoch unless it is there. */
  begin(stream: number, epoch: number): void {
    const name = streamName(stream, epoch);
    if (this.#store.get(name)) return;
    this.#store.put(name, seal(randomBytes(keyBytes), deriveKey(this.#kek, `${format}/wrap/${name}`)));
  }

  /**
   * The key of one sealed piece.
   * @throws TidegateError KEY_DESTROYED when the stream's epoch has been erased
   */
  pieceKey(stream: number, epoch: number, kind: SealedKind, sequence: number): Uint8Array {
    return deriveKey(this.#streamKey(stream, epoch), `${format}/${kind}/${stream}/${epoch}/${sequence}`);
  }

  #streamKey(stream: number, epoch: number): Uint8Array {
    const name = streamName(stream, epoch);
    const known = this.#streamKeys.get(name);
    if (known) return known;
    const wrapped = this.#store.get(name);
    if (!wrapped) throw new TidegateError("KEY_DESTROYED", { stream, epoch });
    const key = open(wrapped, deriveKey(this.#kek, `${format}/wrap/${name}`));
    if (!key) throw new TidegateError("KEY_WRONG", { what: `the key of stream ${stream}, epoch ${epoch}` });
    this.#streamKeys.set(name, key);
    return key;
  }

  /** Destroys the key of a stream's epoch: nothing that was sealed under it opens again. */
  destroy(stream: number, epoch: number): void {
    const name = streamName(stream, epoch);
    this.#store.delete(name);
    this.#streamKeys.get(name)?.fill(0);
    this.#streamKeys.delete(name);
  }
}
