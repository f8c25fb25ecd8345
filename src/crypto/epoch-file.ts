import { randomBytes } from "node:crypto";
import {
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { readKeyFile, syncDirectory, writeKeyFile } from "./key-file.ts";
import { keyBytes } from "./sealing.ts";

/**
 * The part of the key-encryption key that lies beside the databases and moves on: `<dataDir>/keys/epoch`. A copy of the
 * databases from before the move opens with nothing that is here now, wherever the storage root itself is kept.
 *
 * It moves in two steps, so that a crash between them and the change of the databases is harmless: the next secret is
 * staged beside the current one, and takes its place once the databases hold nothing that the current one is needed for.
 */
export class EpochFile {
  readonly #dataDir: string;
  readonly #file: string;
  readonly #staged: string;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
    this.#file = join(dataDir, "keys", "epoch");
    this.#staged = `${this.#file}.next`;
  }

  /** Null before the first move. @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED */
  current(): Uint8Array | null {
    return this.#read(this.#file);
  }

  /** What a move that was interrupted has left; null when there is none. @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED */
  staged(): Uint8Array | null {
    return this.#read(this.#staged);
  }

  #read(file: string): Uint8Array | null {
    const user = process.geteuid?.() ?? 0;
    // Root's verbs work on the directory of the service's user.
    const owners = user === 0 && existsSync(file) ? [0, statSync(this.#dataDir).uid] : [user];
    return readKeyFile(file, { owners, forbiddenMode: 0o077 });
  }

  /** Puts a new secret beside the current one, durably. @throws TidegateError KEY_UNWRITABLE */
  stage(): Uint8Array {
    const secret = new Uint8Array(randomBytes(keyBytes));
    this.#writing(() => {
      const dir = dirname(this.#staged);
      if (mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined) syncDirectory(this.#dataDir);
      rmSync(this.#staged, { force: true });
      writeKeyFile(this.#staged, secret);
      this.#giveToOwner(dir);
    });
    return secret;
  }

  /** The staged secret takes the place of the current one, which is written over first. @throws TidegateError KEY_UNWRITABLE */
  promote(): void {
    this.#writing(() => {
      if (!existsSync(this.#staged)) return;
      if (existsSync(this.#file)) overwrite(this.#file);
      renameSync(this.#staged, this.#file);
      syncDirectory(dirname(this.#file));
    });
  }

  /** Nothing was changed: the staged secret goes. */
  discard(): void {
    rmSync(this.#staged, { force: true });
  }

  #writing(work: () => void): void {
    try {
      work();
    } catch (cause) {
      throw new TidegateError("KEY_UNWRITABLE", { file: this.#file, reason: reasonOf(cause) }, { cause });
    }
  }

  /** The service would refuse what root made. */
  #giveToOwner(dir: string): void {
    if (process.geteuid?.() !== 0) return;
    const { uid, gid } = statSync(this.#dataDir);
    for (const file of [dir, this.#staged]) if (statSync(file).uid === 0 && uid !== 0) chownSync(file, uid, gid);
  }
}

/** Writes noise over a key where it lies. Flash that levels its wear may keep the old bytes elsewhere all the same. */
function overwrite(file: string): void {
  const handle = openSync(file, "r+");
  try {
    writeSync(handle, `${randomBytes(keyBytes).toString("base64")}\n`, 0);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
