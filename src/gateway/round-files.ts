import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { TidegateError } from "../base/errors.ts";
import type { Journal } from "../buffer/journal.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import { filesOf, noRounds, type RoundState } from "../federated/client/round-state.ts";
import type { TrainingFiles } from "./training-files.ts";

/** Where a trainer process is to write something, and the key that seals it. */
export type SealedPlace = { readonly name: string; readonly file: string; readonly key: Uint8Array };

const stateName = (model: string): string => `rounds/${model}`;
const epochName = (model: string): string => `rounds/${model}/epoch`;

/**
 * What a model's rounds leave in the data directory: a sealed state in `state.db`, and the vectors that it names in
 * `training/rounds/<model>/`. Both are made of readings: they open with the secret of `TrainingFiles` and go with it.
 * The epoch of the coordinator lies apart from them, in the open: an erasure must not open the way back.
 */
export class RoundFiles {
  readonly #training: TrainingFiles;
  readonly #state: Pick<Journal, "stateGet" | "statePut">;
  /** Given out in this life: what a training is writing is named by no state yet. */
  readonly #given = new Set<string>();

  constructor(training: TrainingFiles, state: Pick<Journal, "stateGet" | "statePut">) {
    this.#training = training;
    this.#state = state;
  }

  /** Files that are left of a life that was killed before the state named them are removed. */
  async load(model: string): Promise<RoundState> {
    const [sealed, epoch] = await Promise.all([
      this.#state.stateGet(stateName(model)),
      this.#state.stateGet(epochName(model)),
    ]);
    const plain = sealed && open(sealed, deriveKey(await this.#training.key(model), "rounds"));
    const state = plain ? (JSON.parse(Buffer.from(plain).toString()) as RoundState) : noRounds;
    const known = { ...state, epoch: Math.max(state.epoch, epoch ? Number(Buffer.from(epoch).toString()) : 0) };
    await this.#tidy(model, known);
    return known;
  }

  /** Resolves when it is durable; what it does not name any more goes then. */
  async save(model: string, state: RoundState): Promise<void> {
    await this.#state.statePut(epochName(model), Buffer.from(String(state.epoch)));
    const key = deriveKey(await this.#training.key(model), "rounds");
    await this.#state.statePut(stateName(model), seal(Buffer.from(JSON.stringify(state)), key));
    await this.#tidy(model, state);
  }

  /** A new place: its name is never given again. */
  async place(model: string): Promise<SealedPlace> {
    await mkdir(this.#dir(model), { recursive: true, mode: 0o750 });
    const name = randomBytes(8).toString("hex");
    this.#given.add(name);
    return this.find(model, name);
  }

  async find(model: string, name: string): Promise<SealedPlace> {
    const key = deriveKey(await this.#training.key(model), `round/${name}`);
    return { name, file: join(this.#dir(model), name), key };
  }

  /** @throws TidegateError FILE_UNREADABLE when it is gone, damaged, or its secret was erased */
  async read(model: string, name: string): Promise<Uint8Array> {
    const { file, key } = await this.find(model, name);
    const sealed = await readFile(file).catch(() => null);
    const plain = sealed && open(sealed, key);
    if (plain) return plain;
    throw new TidegateError("FILE_UNREADABLE", { file, reason: sealed ? "it does not open" : "it is gone" });
  }

  async #tidy(model: string, state: RoundState): Promise<void> {
    const named = new Set(filesOf(state));
    // From the state on that names it, the state alone says how long it stays.
    for (const name of named) this.#given.delete(name);
    for (const name of await readdir(this.#dir(model)).catch(() => []))
      if (!named.has(name) && !this.#given.has(name)) await rm(join(this.#dir(model), name), { force: true });
  }

  #dir(model: string): string {
    return this.#training.rounds(model);
  }
}
