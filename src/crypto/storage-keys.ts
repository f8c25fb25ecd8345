import { randomBytes } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { EpochFile } from "./epoch-file.ts";
import { deriveKey, keyBytes, open, seal } from "./sealing.ts";

/** Where wrapped keys lie: `state.db`. A delete must not leave the old bytes in the file (`secure_delete`). */
export type WrappedKeyStore = {
  get(name: string): Uint8Array | null;
  put(name: string, value: Uint8Array): void;
  delete(name: string): void;
  /** All names that begin so, in order. */
  names(prefix: string): string[];
  /** All of it or nothing, durable when it returns. */
  transaction(work: () => void): void;
  /** Leaves no earlier copy behind in the log. */
  checkpoint(): unknown;
};

/** What a sealed piece of a stream is; part of its key, so that one kind never passes for another. */
export type SealedKind = "tail" | "block" | "dictionary" | "outbox" | "dead" | "state";

const format = "tidegate/storage/1";
const kekName = "kek/epoch";
const checkName = "kek/check";
const countName = "kek/rotations";
const streamName = (stream: number, epoch: number): string => `stream/${stream}/${epoch}`;
const wrapPurpose = (name: string): string => `${format}/wrap/${name}`;

/** Whether the key of a stream's epoch is to be destroyed. */
export type IsGone = (stream: number, epoch: number) => boolean;

/**
 * Keys of the data at rest: storage root, epoch file and epoch secret give the key-encryption key; it wraps one random
 * key per stream and epoch; that gives one key per sealed piece. The sequence number is part of the last step, so a piece
 * that was moved or swapped does not open. Whoever destroys a stream key has erased what was sealed under it.
 */
export class StorageKeys {
  readonly #root: Uint8Array;
  readonly #store: WrappedKeyStore;
  readonly #epochFile: EpochFile;
  #kek: Uint8Array;
  /** The databases have moved on, the file has not: it must before anything else is staged. */
  #isMoving = false;
  readonly #streamKeys = new Map<string, Uint8Array>();

  /** @throws TidegateError KEY_WRONG when the store was written under another storage root or another epoch file */
  constructor(storageRoot: Uint8Array, store: WrappedKeyStore, epochFile: EpochFile) {
    this.#root = storageRoot;
    this.#store = store;
    this.#epochFile = epochFile;
    const epochSecret = store.get(kekName);
    this.#kek = epochSecret ? this.#openKek(epochSecret) : this.#newKek();
  }

  #newKek(): Uint8Array {
    let kek: Uint8Array = new Uint8Array();
    this.#store.transaction(() => {
      kek = this.#deriveKek(this.#epochFile.current(), this.#newSecret());
      this.#store.put(checkName, seal(Buffer.from(format), kek));
    });
    return kek;
  }

  #newSecret(): Uint8Array {
    const secret = new Uint8Array(randomBytes(keyBytes));
    this.#store.put(kekName, secret);
    return secret;
  }

  #openKek(epochSecret: Uint8Array): Uint8Array {
    const check = this.#store.get(checkName);
    const opens = (fromFile: Uint8Array | null): Uint8Array | null => {
      const kek = this.#deriveKek(fromFile, epochSecret);
      return check && open(check, kek) ? kek : null;
    };
    // A move that was interrupted: the databases say on which side of it they are.
    const staged = this.#epochFile.staged();
    const moved = staged && opens(staged);
    if (moved) {
      this.#epochFile.promote();
      return moved;
    }
    const kek = opens(this.#epochFile.current());
    const what = "the storage root and keys/epoch (or state.db is a copy from before an erasure or a change of keys)";
    if (!kek) throw new TidegateError("KEY_WRONG", { what });
    if (staged) this.#epochFile.discard();
    return kek;
  }

  /** @param fromFile  null until the first move: there is no epoch file yet */
  #deriveKek(fromFile: Uint8Array | null, epochSecret: Uint8Array): Uint8Array {
    return deriveKey(Buffer.concat([this.#root, epochSecret, fromFile ?? new Uint8Array()]), `${format}/kek`);
  }

  /** How often the key-encryption key has been replaced. */
  get rotations(): number {
    return Number(Buffer.from(this.#store.get(countName) ?? []).toString("utf8"));
  }

  /**
   * Replaces the key-encryption key: all wrapped keys are wrapped anew, but for those that are gone, in one transaction.
   * A crash at any moment leaves either the old state or the new one. What was sealed stays as it is.
   * @throws TidegateError KEY_UNWRITABLE, the store's errors: nothing has changed
   */
  rotate(isGone: IsGone = () => false): void {
    if (this.#isMoving) this.#finishMove();
    const staged = this.#epochFile.stage();
    let kek = this.#kek;
    try {
      this.#store.transaction(() => {
        kek = this.#deriveKek(staged, this.#newSecret());
        this.#store.put(checkName, seal(Buffer.from(format), kek));
        this.#store.put(countName, Buffer.from(String(this.rotations + 1)));
        for (const name of this.#store.names("stream/")) this.#rewrap(name, kek, isGone);
      });
    } catch (thrown) {
      // What failed may have been the answer, not the change.
      const check = this.#store.get(checkName);
      if (!check || !open(check, kek)) {
        this.#epochFile.discard();
        throw thrown;
      }
    }
    this.#kek.fill(0);
    this.#kek = kek;
    this.#isMoving = true;
    for (const [name, key] of this.#streamKeys) {
      if (this.#store.get(name)) continue;
      key.fill(0);
      this.#streamKeys.delete(name);
    }
    this.#finishMove();
  }

  #finishMove(): void {
    this.#store.checkpoint();
    this.#epochFile.promote();
    this.#isMoving = false;
  }

  #rewrap(name: string, kek: Uint8Array, isGone: IsGone): void {
    const [, stream, epoch] = name.split("/");
    if (isGone(Number(stream), Number(epoch))) {
      this.#store.delete(name);
      return;
    }
    const wrapped = this.#store.get(name);
    const key = wrapped && open(wrapped, deriveKey(this.#kek, wrapPurpose(name)));
    // One that does not open stays as it is: whoever needs it is told.
    if (key) this.#store.put(name, seal(key, deriveKey(kek, wrapPurpose(name))));
  }

  /** Makes the key of a stream's epoch unless it is there. */
  begin(stream: number, epoch: number): void {
    const name = streamName(stream, epoch);
    if (this.#store.get(name)) return;
    this.#store.put(name, seal(randomBytes(keyBytes), deriveKey(this.#kek, wrapPurpose(name))));
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
    const key = open(wrapped, deriveKey(this.#kek, wrapPurpose(name)));
    if (!key) throw new TidegateError("KEY_WRONG", { what: `the key of stream ${stream}, epoch ${epoch}` });
    this.#streamKeys.set(name, key);
    return key;
  }
}
