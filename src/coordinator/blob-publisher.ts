import { blobHash } from "../control/blob-hash.ts";
import { chunkBytes } from "../control/model-manifest.ts";
import type { PublishAnswer } from "../wire/outgoing.ts";

/** What blobs are published through. A `Link` fits with QoS 1. */
export type Publishing = (topic: string, payload: Uint8Array, options: { retain: boolean }) => Promise<PublishAnswer>;

/** Chunks that are under way to the broker at once. */
const maxFlying = 8;

/**
 * Puts a blob on the broker in retained chunks. Done again it changes nothing, so that a publisher that was
 * interrupted begins anew.
 * @returns what the broker refused, by chunk; empty when all is there
 */
export async function publishBlob(
  bytes: Uint8Array,
  topic: (sha256: string, n: number) => string,
  publish: Publishing,
  onProgress: (chunks: number, of: number) => void = () => {},
): Promise<{ n: number; reason: number }[]> {
  const sha256 = blobHash(bytes);
  const count = Math.ceil(bytes.length / chunkBytes);
  const refused: { n: number; reason: number }[] = [];
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) {
      const chunk = bytes.subarray(n * chunkBytes, (n + 1) * chunkBytes);
      const { reason } = await publish(topic(sha256, n), chunk, { retain: true });
      if (reason >= 128) refused.push({ n, reason });
      onProgress(++done, count);
    }
  };
  await Promise.all(Array.from({ length: Math.min(maxFlying, count) }, work));
  return refused;
}

/** Takes a blob's chunks off the broker: an empty retained message clears one. */
export async function retireBlob(
  sha256: string,
  size: number,
  topic: (sha256: string, n: number) => string,
  publish: Publishing,
): Promise<void> {
  for (let n = 0; n * chunkBytes < size; n++) await publish(topic(sha256, n), new Uint8Array(0), { retain: true });
}
