import { TidegateError } from "../base/errors.ts";
import { blobHash } from "../control/blob-hash.ts";
import { encodeDifference, planesKind } from "../control/model-difference.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { type Publishing, publishBlob, retireBlob } from "./blob-publisher.ts";
import type { ModelVersion } from "./coordinator-store.ts";

type Source = RoundDocument["base"]["sources"][number];

/**
 * The ways to a base: whole, and as what changed since the version before where that is less.
 * @returns what stands in the round's document, and the bytes to publish
 */
export function sourcesOf(base: ModelVersion, before: ModelVersion | null): { source: Source; bytes: Uint8Array }[] {
  const whole = encodeDifference(new Uint8Array(), base.weights);
  const change =
    before && before.weights.length === base.weights.length ? encodeDifference(before.weights, base.weights) : null;
  const blob = (from: string | null, bytes: Uint8Array) => ({
    source: { from, sha256: blobHash(bytes), bytes: bytes.length, kind: planesKind } as Source,
    bytes,
  });
  const ways = [blob(null, whole)];
  if (before && change && change.length < whole.length) ways.unshift(blob(before.hash, change));
  return ways;
}

/** Puts the ways to a base on the broker, before the round that names them. @throws TidegateError OUTPUT_REFUSED */
export async function publishSources(
  blobs: readonly { readonly bytes: Uint8Array }[],
  topic: (sha256: string, n: number) => string,
  publish: Publishing,
): Promise<void> {
  for (const { bytes } of blobs) {
    const [refused] = await publishBlob(bytes, topic, publish);
    if (refused) throw new TidegateError("OUTPUT_REFUSED", { output: "the broker", reason: refused.reason });
  }
}

/** Takes the ways to an older base off the broker, but for those that a newer one still has. */
export async function retireSources(
  old: readonly Source[],
  kept: readonly Source[],
  topic: (sha256: string, n: number) => string,
  publish: Publishing,
): Promise<void> {
  const names = new Set(kept.map(({ sha256 }) => sha256));
  for (const { sha256, bytes } of old) if (!names.has(sha256)) await retireBlob(sha256, bytes, topic, publish);
}

/** Bytes that one gateway fetches for a round: with the version before, or anew. */
export const bytesDown = (sources: readonly Source[]): number => Math.min(...sources.map(({ bytes }) => bytes));
