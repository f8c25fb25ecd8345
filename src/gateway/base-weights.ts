import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { type ChunkSource, fetchBlob } from "../control/blob-fetch.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { decodeModel } from "../onnx/model-file.ts";
import { AveragedWeights, hashOfWeights } from "../train/averaged-weights.ts";
import { followWay, type WayPort, waysTo } from "./base-ways.ts";

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
const suffix = ".weights";
const lookAgainMs = 5_000;
/** What a way to a base takes for each number and beside them, at most: index and value, and what packing adds. */
const [coordinateBytes, headBytes] = [12, 16_384];

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

  /** By the way that costs least; when that fails, by the next. */
  async #fetch(model: string, base: RoundBase, signal: AbortSignal): Promise<void> {
    const { dir, chunks, log } = this.#options;
    // Before anything is fetched or unpacked: a few bytes can stand for more than this device has, at every start again.
    const length = await this.#length(model);
    if (base.length !== length)
      throw new TidegateError("SHAPE_MISMATCH", {
        what: `the base of ${model}`,
        expected: length,
        actual: base.length,
      });
    const ways = await waysTo(base, await this.#known(model));
    if (ways.length === 0) return;
    const port: WayPort = {
      weights: (hash) => this.#weights(model, hash),
      blob: async (sha256, size) => {
        if (size > coordinateBytes * length + headBytes)
          throw new TidegateError("BLOB_DAMAGED", { what: `blob ${sha256}`, reason: `${size} bytes are too many` });
        const blobs = join(dir, model, "blobs");
        const source = chunks(model);
        const file = await fetchBlob({ sha256, size }, { dir: blobs, source, log, random: Math.random, signal });
        return new Uint8Array(await readFile(file));
      },
    };
    let reason: unknown;
    for (const way of ways) {
      try {
        const weights = await followWay(way, base, port);
        if (hashOfWeights(weights) !== base.hash)
          throw new TidegateError("BLOB_DAMAGED", { what: `the base of ${model}`, reason: "its weights are others" });
        await mkdir(join(dir, model), { recursive: true, mode: 0o750 });
        await writeDurably(this.#file(model, base.hash), bytesOf(weights), 0o640);
        await this.#tidy(model, base.hash);
        log.info({ model, version: base.version, kind: way.kind }, "a round's base is here");
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        log.info({ model, kind: way.kind, reason: reasonOf(thrown) }, "a way to a round's base failed");
        reason = thrown;
      }
    }
    throw reason;
  }

  /** Hashes of weights that are here. */
  async #known(model: string): Promise<string[]> {
    const names = await readdir(join(this.#options.dir, model)).catch(() => []);
    const bundles = await Promise.all((await this.#bundles(model)).map((bundle) => this.#hashOf(bundle)));
    const files = names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
    return [...files, ...bundles.filter((hash) => hash !== null)];
  }

  /** Numbers in the vector of the graph that is here; 0 without one. */
  async #length(model: string): Promise<number> {
    const bundle = (await this.#bundles(model)).at(-1);
    return bundle ? new AveragedWeights(await protoOf(bundle), bundle.card).length : 0;
  }

  async #weights(model: string, hash: string): Promise<Float32Array | null> {
    const base = await this.find(model, hash);
    if (!base) return null;
    if (base.weights) return base.weights;
    const proto = await protoOf(base.bundle);
    return new AveragedWeights(proto, base.bundle.card).pack(proto);
  }

  /** Keeps the newest bases alone: the next one may be told against any of them. */
  async #tidy(model: string, newest: string): Promise<void> {
    const folder = join(this.#options.dir, model);
    await rm(join(folder, "blobs"), { recursive: true, force: true });
    const files = (await readdir(folder)).filter((name) => name !== newest + suffix);
    const aged = await Promise.all(files.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })));
    for (const { name } of aged.sort((a, b) => b.at - a.at).slice(keptBases - 1))
      await rm(join(folder, name), { force: true });
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
    return join(this.#options.dir, model, hash + suffix);
  }
}

const protoOf = async ({ modelBytes, modelFile, name }: Bundle) =>
  decodeModel(modelBytes ?? (await readFile(modelFile)), name);

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
