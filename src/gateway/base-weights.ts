import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import { TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { type ChunkSource, fetchBlob } from "../control/blob-fetch.ts";
import { decodeDifference } from "../control/model-difference.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { decodeModel } from "../onnx/model-file.ts";
import { AveragedWeights, hashOfWeights } from "../train/averaged-weights.ts";

export type BaseWeightsOptions = {
  /** Folders of bundles: the gateway's own, then those that ship. */
  readonly folders: readonly string[];
  /** Where weights are kept that no bundle has. */
  readonly dir: string;
  readonly chunks: (model: string) => ChunkSource;
  readonly log: Log;
};

/** A round's base: the bundle whose graph is taken, and its weights; null: they are the bundle's own. */
export type Base = { readonly bundle: Bundle; readonly weights: Float32Array | null };

type RoundBase = RoundDocument["base"];

/** Weights of bases that are kept beside those of bundles: the newest, and the one that the next is told against. */
const keptBases = 2;
const lookAgainMs = 5_000;

/**
 * Weights that rounds begin with: those of a bundle that is here (shipped, or brought by a model update), or a vector that
 * was fetched as the round's document says. Weights are the fleet's, not the site's: they lie in the open, as bundles do.
 */
export class BaseWeights {
  readonly #options: BaseWeightsOptions;
  /** Hash of the weights, by that of the bundle. */
  readonly #hashes = new Map<string, string>();

  constructor(options: BaseWeightsOptions) {
    this.#options = options;
  }

  /** Whether the weights with this hash are here. */
  async hasBase(model: string, hash: string): Promise<boolean> {
    return (await this.find(model, hash)) !== null;
  }

  async find(model: string, hash: string): Promise<Base | null> {
    const bundles = await this.#bundles(model);
    for (const bundle of bundles) if ((await this.#hashOf(bundle)) === hash) return { bundle, weights: null };
    const bytes = await readFile(this.#file(model, hash)).catch(() => null);
    const weights = bytes && new Float32Array(new Uint8Array(bytes).buffer);
    // The graph is the shipped one's: the gateway's own versions may have statistics of this site alone.
    const bundle = bundles.at(-1);
    return weights && bundle && hashOfWeights(weights) === hash ? { bundle, weights } : null;
  }

  /**
   * Fetches a base where the document says how; else waits until a model update brings it.
   * @returns false when the signal ended it
   */
  async obtain(model: string, base: RoundBase, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (await this.hasBase(model, base.hash)) return true;
      await this.#fetch(model, base, signal).catch((thrown: Error) => {
        if (!signal.aborted)
          this.#options.log.info({ model, reason: thrown.message }, "a round's base was not fetched");
      });
      if (await this.hasBase(model, base.hash)) return true;
      await sleep(lookAgainMs, signal);
    }
    return false;
  }

  async #fetch(model: string, base: RoundBase, signal: AbortSignal): Promise<void> {
    for (const { from, sha256, bytes } of [...base.sources].sort((a, b) => a.bytes - b.bytes)) {
      const former = from === null ? new Float32Array() : await this.#weights(model, from);
      if (!former) continue;
      const { dir, chunks, log } = this.#options;
      const blobs = join(dir, "blobs");
      const fetched = await fetchBlob(
        { sha256, size: bytes },
        { dir: blobs, source: chunks(model), log, random: Math.random, signal },
      );
      const difference = await readFile(fetched);
      const whole = decodeDifference(bytesOf(former), difference, 4 * base.length);
      const weights = new Float32Array(new Uint8Array(whole).buffer);
      if (hashOfWeights(weights) !== base.hash)
        throw new TidegateError("BLOB_DAMAGED", { what: `the base of ${model}`, reason: "its weights are others" });
      await mkdir(join(dir, model), { recursive: true, mode: 0o750 });
      await writeDurably(this.#file(model, base.hash), bytesOf(weights), 0o640);
      await rm(fetched, { force: true });
      await this.#tidy(model, [base.hash, ...(from === null ? [] : [from])]);
      return;
    }
  }

  async #weights(model: string, hash: string): Promise<Float32Array | null> {
    const base = await this.find(model, hash);
    if (!base) return null;
    if (base.weights) return base.weights;
    const proto = await protoOf(base.bundle);
    return new AveragedWeights(proto, base.bundle.card).pack(proto);
  }

  async #tidy(model: string, newest: readonly string[]): Promise<void> {
    const kept = newest.slice(0, keptBases).map((hash) => `${hash}.weights`);
    for (const name of await readdir(join(this.#options.dir, model)))
      if (!kept.includes(name)) await rm(join(this.#options.dir, model, name), { force: true });
  }

  async #bundles(model: string): Promise<Bundle[]> {
    const found = await Promise.all(
      this.#options.folders.map((folder) => openBundle(join(folder, model)).catch(() => null)),
    );
    return found.filter((bundle) => bundle !== null);
  }

  async #hashOf(bundle: Bundle): Promise<string | null> {
    const known = this.#hashes.get(bundle.hash);
    if (known !== undefined) return known;
    try {
      const proto = await protoOf(bundle);
      const hash = hashOfWeights(new AveragedWeights(proto, bundle.card).pack(proto));
      this.#hashes.set(bundle.hash, hash);
      return hash;
    } catch {
      // A bundle of which a fleet shares nothing is nobody's base.
      return null;
    }
  }

  #file(model: string, hash: string): string {
    return join(this.#options.dir, model, `${hash}.weights`);
  }
}

const protoOf = async ({ modelBytes, modelFile, name }: Bundle) =>
  decodeModel(modelBytes ?? (await readFile(modelFile)), name);

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
