import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import type { Journal } from "../buffer/journal.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import type { DriftReference } from "../train/drift.ts";
import type { ReadingChoice } from "./training-readings.ts";

/** An unfinished training. */
export type TrainingOrder = ReadingChoice & {
  /** Content hash of the bundle. */
  readonly bundle: string;
  /** How often it was begun: what kills its process each time is not tried for ever. */
  readonly attempts: number;
};

/** What a version's data looked like when it was made. */
type KeptReference = { readonly bundle: string; readonly reference: DriftReference };

const secretName = "training/secret";
const secretBytes = 32;

/**
 * What training keeps in the data directory: `training/<model>.checkpoint`, `.order`, `.replay` (examples that are kept),
 * `.drift` (how they lay), `candidates/<model>` and
 * `rounds/<model>`.
 *
 * All are made of readings. Their keys come from the storage root and a secret of their own in `state.db`:
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

  /** Examples that are kept against forgetting. */
  replay(model: string): string {
    return join(this.#dir, `${model}.replay`);
  }

  /** Folder of what a model's rounds leave: see `RoundFiles`. */
  rounds(model: string): string {
    return join(this.#dir, "rounds", model);
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
    const order = (await this.#read(model, "order")) as TrainingOrder | null;
    // Those of earlier versions had one stream: their training begins anew.
    return order?.readings ? order : null;
  }

  putOrder(model: string, order: TrainingOrder): Promise<void> {
    return this.#write(model, "order", order);
  }

  /** What later data of this version of the model are measured against; null when that is not known. */
  async reference(model: string, bundle: string): Promise<DriftReference | null> {
    const kept = (await this.#read(model, "drift")) as KeptReference | null;
    return kept?.bundle === bundle ? kept.reference : null;
  }

  putReference(model: string, bundle: string, reference: DriftReference): Promise<void> {
    return this.#write(model, "drift", { bundle, reference } satisfies KeptReference);
  }

  async #read(model: string, what: string): Promise<unknown> {
    const sealed = await readFile(join(this.#dir, `${model}.${what}`)).catch(() => null);
    const plain = sealed && open(sealed, deriveKey(await this.key(model), what));
    return plain && JSON.parse(Buffer.from(plain).toString());
  }

  async #write(model: string, what: string, value: unknown): Promise<void> {
    const sealed = seal(Buffer.from(JSON.stringify(value)), deriveKey(await this.key(model), what));
    await mkdir(this.#dir, { recursive: true, mode: 0o750 });
    await writeDurably(join(this.#dir, `${model}.${what}`), sealed);
  }

  /** The training is over. */
  async done(model: string): Promise<void> {
    await rm(join(this.#dir, `${model}.order`), { force: true });
    await rm(this.checkpoint(model), { force: true });
  }

  /** Destroys whatever was made of readings, and the secret that opens it. */
  async erase(): Promise<void> {
    this.#secret = undefined;
    await this.#newSecret();
    this.#secret = undefined;
    await rm(this.#dir, { recursive: true, force: true });
  }
}
