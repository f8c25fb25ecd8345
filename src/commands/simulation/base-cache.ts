import { TidegateError } from "../../base/errors.ts";
import type { ChunkSource } from "../../control/blob-fetch.ts";
import { blobHash } from "../../control/blob-hash.ts";
import { chunkBytes } from "../../control/model-manifest.ts";
import type { RoundDocument } from "../../federated/round-document.ts";
import { followWay, waysTo } from "../../gateway/base-ways.ts";
import { hashOfWeights } from "../../train/averaged-weights.ts";

type RoundBase = RoundDocument["base"];

/** Weights that are kept: those of the open round, and the ones that the next are told against. */
const kept = 3;
const chunkTimeoutMs = 10_000;
const maxSilences = 6;

/** The bases of rounds, fetched from the broker once for all gateways of a process. */
export class BaseCache {
  readonly #chunks: ChunkSource;
  readonly #weights = new Map<string, Float32Array>();
  readonly #fetching = new Map<string, Promise<Float32Array>>();
  /** Whoever asks first fetches for the others, too: no round that ends takes it from them. */
  readonly #stop = new AbortController();
  /** Bytes that were fetched. */
  bytes = 0;

  constructor(chunks: ChunkSource) {
    this.#chunks = chunks;
  }

  /** @throws TidegateError BLOB_MISSING, BLOB_DAMAGED; it may be asked for again */
  obtain(base: RoundBase): Promise<Float32Array> {
    const known = this.#weights.get(base.hash);
    if (known) return Promise.resolve(known);
    const under = this.#fetching.get(base.hash) ?? this.#fetch(base);
    this.#fetching.set(base.hash, under);
    return under.finally(() => this.#fetching.delete(base.hash));
  }

  stop(): void {
    this.#stop.abort();
  }

  async #fetch(base: RoundBase): Promise<Float32Array> {
    const [way] = waysTo(base, [...this.#weights.keys()]);
    if (!way)
      throw new TidegateError("BLOB_MISSING", { what: "a round's base", reason: "the round names no way to it" });
    const weights = await followWay(way, base, {
      weights: async (hash) => this.#weights.get(hash) ?? null,
      blob: (sha256, bytes) => this.#blob(sha256, bytes),
    });
    if (hashOfWeights(weights) !== base.hash)
      throw new TidegateError("BLOB_DAMAGED", { what: "a round's base", reason: "its weights are others" });
    this.#weights.set(base.hash, weights);
    for (const hash of [...this.#weights.keys()].slice(0, -kept)) this.#weights.delete(hash);
    return weights;
  }

  async #blob(sha256: string, size: number): Promise<Uint8Array> {
    const blob = new Uint8Array(size);
    for (let n = 0; n * chunkBytes < size; n++) blob.set(await this.#chunk(sha256, n), n * chunkBytes);
    if (blobHash(blob) !== sha256)
      throw new TidegateError("BLOB_DAMAGED", { what: `blob ${sha256}`, reason: "its content is another" });
    this.bytes += size;
    return blob;
  }

  async #chunk(sha256: string, n: number): Promise<Uint8Array> {
    for (let silences = 0; silences < maxSilences && !this.#stop.signal.aborted; silences++) {
      const chunk = await this.#chunks.chunk(sha256, n, chunkTimeoutMs, this.#stop.signal);
      if (chunk) return chunk;
    }
    throw new TidegateError("BLOB_MISSING", { what: `blob ${sha256}`, reason: `chunk ${n} does not come` });
  }
}
