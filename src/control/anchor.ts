import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf } from "../crypto/key-file.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import type { TrustState } from "./trusted-time.ts";

/** The file of a data directory that state.db is held against. */
export const anchorFile = (dataDir: string): string => join(dataDir, "anchor.sealed");

/** Which state.db this is, and how many documents it has accepted. */
type Mark = { readonly id: string; readonly accepted: number };

export type AnchorOptions = {
  readonly dataDir: string;
  readonly storageRoot: Uint8Array;
  readonly state: TrustState;
};

const stateName = "trust/anchor";

/**
 * Notices that state.db, which knows what was accepted before, is not the one that this gateway had: new, lost, or a copy
 * from earlier. Without it old documents would look new. The same count stands in it and, sealed, in a file beside it; a
 * document is acted upon once both are durable. Both put back together cannot be told from the inside: the audit log's
 * head, which the cloud was told, does.
 */
export class Anchor {
  readonly #options: AnchorOptions;
  readonly #file: string;
  readonly #key: Uint8Array;
  #mark: Mark = { id: "", accepted: 0 };
  #fault: string | null = "it has not been looked at yet";

  constructor(options: AnchorOptions) {
    this.#options = options;
    this.#file = anchorFile(options.dataDir);
    this.#key = deriveKey(options.storageRoot, "tidegate/anchor/1");
  }

  /** Why nothing from afar is taken; null: state.db is the one that it was. */
  get fault(): string | null {
    return this.#fault;
  }

  /**
   * Holds the two against each other; on a gateway that has accepted nothing yet it makes what is missing.
   * @param hasPast  whether something else says that this is not the gateway's first life
   * @throws TidegateError FILE_UNREADABLE, STORAGE_FAILED
   */
  async load(hasPast: boolean): Promise<void> {
    const file = this.#readFile();
    const saved = await this.#options.state.stateGet(stateName);
    const own = saved && (JSON.parse(Buffer.from(saved).toString("utf8")) as Mark);
    if (file === "damaged") this.#fault = `${this.#file} is not this gateway's`;
    else if (file && !own) this.#fault = "state.db was lost: it is new";
    else if (file && own && own.id !== file.id) this.#fault = "state.db is another one";
    else if (file && own && own.accepted < file.accepted)
      this.#fault = `state.db is an older copy: it knows ${own.accepted} documents of ${file.accepted}`;
    else if (own && !file && own.accepted > 0) this.#fault = `${this.#file} was lost`;
    else if (!own && hasPast) this.#fault = "state.db was lost: it is new";
    else {
      if (!own) await this.renew();
      else if (own.accepted !== file?.accepted) await this.#put(own);
      else this.#mark = own;
      this.#fault = null;
    }
  }

  /** Another document is accepted; durable when it resolves. */
  async advance(): Promise<void> {
    await this.#put({ ...this.#mark, accepted: this.#mark.accepted + 1 });
  }

  /** Somebody at the site says that state.db counts as it is now. */
  async renew(): Promise<void> {
    await this.#put({ id: randomBytes(16).toString("hex"), accepted: 0 });
    this.#fault = null;
  }

  /** state.db first: a cut between the two leaves the file behind it, which is no fault. */
  async #put(mark: Mark): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(mark));
    await this.#options.state.statePut(stateName, bytes);
    await writeDurably(this.#file, seal(bytes, this.#key));
    this.#mark = mark;
  }

  #readFile(): Mark | "damaged" | null {
    let sealed: Uint8Array;
    try {
      sealed = new Uint8Array(readFileSync(this.#file));
    } catch (cause) {
      if (errnoOf(cause) === "ENOENT") return null;
      throw new TidegateError("FILE_UNREADABLE", { file: this.#file, reason: reasonOf(cause) }, { cause });
    }
    const plain = open(sealed, this.#key);
    return plain ? (JSON.parse(Buffer.from(plain).toString("utf8")) as Mark) : "damaged";
  }
}
