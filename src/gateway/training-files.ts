import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import type { Journal } from "../buffer/journal.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";

/** Which readings an unfinished training is on: a resumed one must see the same. */
export type TrainingOrder = {
  readonly stream: string;
  /** Sequence numbers; `until` is not included. */
  readonly from: number;
  readonly until: number;
  /** Content hash of the bundle. */
  readonly bundle: string;
  /** How often it was begun: what kills its process each time is not tried for ever. */
  readonly attempts: number;
};

const secretName = "training/secret";
const secretBytes = 32;

/**
 * What training keeps in the data directory: `training/<model>.checkpoint`, `.order` and `candidates/<model>`.
 *
 * Checkpoints are made of readings. Their keys come from the storage root and a secret of their own in `state.db`:
 * whoever erases readings removes both (`erase`), and none of them opens again, wherever copies of them are.
 */
export class TrainingFiles {
  readonly #dir: string;
  readonly #storageRoot: Uint8Array;
  readonly #state: Pick<Journal, "stateGet" | "statePut">;
  #secret: Uint8Array | undefined;

  constructor(dataDir: string, storageRoot: Uint8Array, state: Pick<Journal, "stateGet" | "statePut">) {
    this.#dir = join(dataDir, "training");
    this.#storageRoot = storageRoot;
    this.#state = state;
  }

  checkpoint(model: string): string {
    return join(this.#dir, `${model}.checkpoint`);
  }

  candidate(model: string): string {
    return join(this.#dir, "candidates", model);
  }

  /** The key of one model's checkpoints. */
  async key(model: string): Promise<Uint8Array> {
    this.#secret ??= (await this.#state.stateGet(secretName)) ?? (await this.#newSecret());
    return deriveKey(Buffer.concat([this.#storageRoot, this.#secret]), `tidegate/training/1/${model}`);
  }

  async #newSecret(): Promise<Uint8Array> {
    const secret = new Uint8Array(randomBytes(secretBytes));
    await this.#state.statePut(secretName, secret);
    return secret;
  }

  /** Null when there is none, or none that can be read any more. */
  async order(model: string): Promise<TrainingOrder | null> {
    const sealed = await readFile(this.#orderFile(model)).catch(() => null);
    const plain = sealed && open(sealed, deriveKey(await this.key(model), "order"));
    return plain && (JSON.parse(Buffer.from(plain).toString()) as TrainingOrder);
  }

  async putOrder(model: string, order: TrainingOrder): Promise<void> {
    const sealed = seal(Buffer.from(JSON.stringify(order)), deriveKey(await this.key(model), "order"));
    await mkdir(this.#dir, { recursive: true, mode: 0o750 });
    await writeDurably(this.#orderFile(model), sealed);
  }

  /** The training is over. */
  async done(model: string): Promise<void> {
    await rm(this.#orderFile(model), { force: true });
    await rm(this.checkpoint(model), { force: true });
  }

  /** Destroys whatever was made of readings, and the secret that opens it. */
  async erase(): Promise<void> {
    this.#secret = undefined;
    await this.#newSecret();
    this.#secret = undefined;
    await rm(this.#dir, { recursive: true, force: true });
  }

  #orderFile(model: string): string {
    return join(this.#dir, `${model}.order`);
  }
}
