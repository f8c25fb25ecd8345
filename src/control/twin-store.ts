import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf } from "../crypto/key-file.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import { emptyTwin, type TwinState } from "./twin-state.ts";

/** The file of a data directory that holds the twin. */
export const twinFile = (dataDir: string): string => join(dataDir, "twin.sealed");

/**
 * Keeps the twin in one sealed file, which is written anew as a whole: wherever the power fails, there is the state
 * from before or the one after. It is beside state.db since it is needed before that can be opened.
 */
export class TwinStore {
  readonly #file: string;
  readonly #key: Uint8Array;

  constructor(dataDir: string, storageRoot: Uint8Array) {
    this.#file = twinFile(dataDir);
    this.#key = deriveKey(storageRoot, "tidegate/twin/1");
  }

  /**
   * `isDamaged`: there is a file that this gateway did not write so; it counts as none.
   * @throws TidegateError FILE_UNREADABLE
   */
  load(): { state: TwinState; isDamaged: boolean } {
    let sealed: Uint8Array;
    try {
      sealed = readFileSync(this.#file);
    } catch (cause) {
      if (errnoOf(cause) === "ENOENT") return { state: emptyTwin, isDamaged: false };
      throw new TidegateError("FILE_UNREADABLE", { file: this.#file, reason: reasonOf(cause) }, { cause });
    }
    const plain = open(new Uint8Array(sealed), this.#key);
    if (!plain) return { state: emptyTwin, isDamaged: true };
    return { state: JSON.parse(Buffer.from(plain).toString("utf8")) as TwinState, isDamaged: false };
  }

  /** Durable when it resolves. */
  save(state: TwinState): Promise<void> {
    return writeDurably(this.#file, seal(Buffer.from(JSON.stringify(state)), this.#key));
  }
}
