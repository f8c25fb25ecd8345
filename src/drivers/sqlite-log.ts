import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";

/** What was committed may not be on the disk. Only opening the database anew tells what of it there is. */
export class SyncFailed extends Error {
  readonly code: string;

  constructor(cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException;
    super(`the log was not synced: ${message}`, { cause });
    this.code = String(code);
  }
}

/**
 * The write-ahead log of a database that one process has to itself, synced by us instead of SQLite.
 *
 * SQLite calls fsync, which brings the time of the change to the disk with every commit: on ext4 that is a transaction
 * of three blocks in the file system's own journal. fdatasync leaves the time out, as long as the log has its size
 * already and is written over in place.
 */
export class LogFile {
  readonly #file: string;
  readonly #bytes: number;
  readonly #handle: number;
  #failed: SyncFailed | undefined;

  /** @param bytes  size that it is given beforehand. @throws the system's error */
  constructor(file: string, bytes: number) {
    this.#file = file;
    this.#bytes = bytes;
    this.#handle = openSync(file, "r+");
    try {
      // Another may have left it after a sync that failed.
      this.#rewrite();
      this.reserve();
    } catch (thrown) {
      closeSync(this.#handle);
      throw thrown;
    }
  }

  /** Fills it up with zeros, which SQLite takes for its end; left as it is where the disk has no room. */
  reserve(): void {
    const { size } = fstatSync(this.#handle);
    if (size >= this.#bytes) return;
    try {
      this.#write(Buffer.alloc(this.#bytes - size), size);
    } catch {
      ftruncateSync(this.#handle, size);
    }
  }

  /** @throws SyncFailed, and ever after: nothing may be built on a log of which some is missing */
  sync(): void {
    if (this.#failed) throw this.#failed;
    try {
      fdatasyncSync(this.#handle);
    } catch {
      try {
        this.#rewrite();
      } catch (thrown) {
        this.#failed = new SyncFailed(thrown);
        throw this.#failed;
      }
    }
  }

  /**
   * Writes once more what is read of it: after a sync that failed the system counts as written what the disk did not
   * take, and a second sync would write nothing.
   */
  #rewrite(): void {
    this.#write(readFileSync(this.#file), 0);
    fdatasyncSync(this.#handle);
  }

  #write(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#handle, bytes, done, bytes.length - done, at + done);
  }

  close(): void {
    closeSync(this.#handle);
  }
}
