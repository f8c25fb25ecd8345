import { TidegateError } from "../base/errors.ts";
import { blobHash } from "../control/blob-hash.ts";
import { encodeDifference, planesKind } from "../control/model-difference.ts";
import { type RoundDocument, shortHash } from "../federated/round-document.ts";
import { type Publishing, publishBlob, retireBlob } from "./blob-publisher.ts";
import type { ModelVersion, VersionChange } from "./coordinator-store.ts";
import { chainTo } from "./next-version.ts";

type Source = RoundDocument["base"]["sources"][number];

export type BaseOffer = {
  /** What stands in the round's document. */
  readonly sources: Source[];
  /** What has to be on the broker before it. */
  readonly blobs: readonly Uint8Array[];
};

/**
 * The ways to a base: whole, and by the steps since an older version; where steps are not told in a codec, as what changed
 * since the version before, when that is less.
 */
export function offerOf(base: ModelVersion, before: ModelVersion | null, changes: readonly VersionChange[]): BaseOffer {
  const whole = encodeDifference(new Uint8Array(), base.weights);
  const planes = (from: string | null, bytes: Uint8Array): Source => ({ ...named(bytes), kind: planesKind, from });
  const chain = chainTo(base.hash, changes);
  const [last, ...earlier] = chain;
  if (last) {
    const way: Source = {
      ...named(last.blob),
      kind: "change",
      from: last.from,
      earlier: earlier.map(({ from }) => from.slice(0, shortHash)),
    };
    return { sources: [way, planes(null, whole)], blobs: [...chain.map(({ blob }) => blob), whole] };
  }
  const change =
    before && before.hash !== base.hash && before.weights.length === base.weights.length
      ? encodeDifference(before.weights, base.weights)
      : null;
  if (before && change && change.length < whole.length)
    return { sources: [planes(before.hash, change), planes(null, whole)], blobs: [change, whole] };
  return { sources: [planes(null, whole)], blobs: [whole] };
}

const named = (bytes: Uint8Array) => ({ sha256: blobHash(bytes), bytes: bytes.length });

/** A model's blobs on the broker: each is published once in a life, and taken back when no round needs it any more. */
export class BaseBlobs {
  readonly #topic: (sha256: string, n: number) => string;
  readonly #publish: Publishing;
  /** Bytes, and the last round that needs it, by hash. */
  readonly #there = new Map<string, { readonly bytes: number; readonly round: number }>();
  /** What an earlier life has published: whether it is still there is not known. */
  readonly #left = new Map<string, { readonly bytes: number; readonly round: number }>();

  constructor(topic: (sha256: string, n: number) => string, publish: Publishing) {
    this.#topic = topic;
    this.#publish = publish;
  }

  /** An earlier life, or a broker that was away, may have any of these. */
  forget(sources: readonly Source[], round: number): void {
    for (const { sha256, bytes } of sources) this.#left.set(sha256, { bytes, round });
    for (const [sha256, blob] of this.#there) this.#left.set(sha256, blob);
    this.#there.clear();
  }

  /** Puts what a round needs on the broker, before its document. @throws TidegateError OUTPUT_REFUSED */
  async offer(blobs: readonly Uint8Array[], round: number): Promise<void> {
    for (const blob of blobs) {
      const { sha256, bytes } = named(blob);
      if (!this.#there.has(sha256)) {
        const [refused] = await publishBlob(blob, this.#topic, this.#publish);
        if (refused) throw new TidegateError("OUTPUT_REFUSED", { output: "the broker", reason: refused.reason });
      }
      this.#there.set(sha256, { bytes, round });
      this.#left.delete(sha256);
    }
  }

  /** Takes back what no round from this one on needs. */
  async retire(round: number): Promise<void> {
    for (const blobs of [this.#there, this.#left])
      for (const [sha256, blob] of blobs) {
        if (blob.round >= round) continue;
        await retireBlob(sha256, blob.bytes, this.#topic, this.#publish);
        blobs.delete(sha256);
      }
  }
}

/** Bytes that one gateway fetches for a round: with the version before, or anew. */
export const bytesDown = (sources: readonly Source[]): number => Math.min(...sources.map(({ bytes }) => bytes));
