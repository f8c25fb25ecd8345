import { TidegateError } from "../base/errors.ts";
import { decodeDifference } from "../control/model-difference.ts";
import { applyChange } from "../federated/published-versions.ts";
import { type RoundDocument, shortHash } from "../federated/round-document.ts";
import { updateSpace } from "../federated/update-space.ts";
import { decodeChange } from "../federated/version-change.ts";

type RoundBase = RoundDocument["base"];

/** A way to a base from what is here. */
export type Way = RoundBase["sources"][number] & {
  /** What is fetched on it, bytes: of several steps about. */
  readonly cost: number;
  /** Blobs of it; steps are about of one size. */
  readonly steps: number;
};

export type WayPort = {
  /** Weights that are here; null when they are not. */
  weights(hash: string): Promise<Float32Array | null>;
  /** @throws TidegateError BLOB_MISSING, BLOB_DAMAGED */
  blob(sha256: string, bytes: number): Promise<Uint8Array>;
};

/**
 * Ways that a round's document offers to a gateway with these weights, the cheapest first.
 * @param known  hashes of the weights that are here
 */
export function waysTo({ sources }: Pick<RoundBase, "sources">, known: readonly string[]): Way[] {
  const starts = new Set(known.map((hash) => hash.slice(0, shortHash)));
  const ways = sources.flatMap((source): Way[] => {
    const { from, bytes } = source;
    if (from === null || known.includes(from)) return [{ ...source, cost: bytes, steps: 1 }];
    if (source.kind !== "change") return [];
    const at = source.earlier.findIndex((start) => starts.has(start));
    return at < 0 ? [] : [{ ...source, cost: (at + 2) * bytes, steps: at + 2 }];
  });
  return ways.sort((a, b) => a.cost - b.cost);
}

/**
 * Goes such a way. What comes out is to be held against the hash that was signed.
 * @throws TidegateError BLOB_MISSING, BLOB_DAMAGED, UPDATE_INVALID, CODEC_REFUSED, BASE_MISSING
 */
export async function followWay(way: Way, { length, hash }: RoundBase, port: WayPort): Promise<Float32Array> {
  if (way.kind === "change") return followSteps(way, { length, hash }, port);
  const former = way.from === null ? new Float32Array() : await port.weights(way.from);
  if (!former) throw new TidegateError("BASE_MISSING", { model: "the round", hash: way.from ?? "" });
  const difference = await port.blob(way.sha256, way.bytes);
  const bytes = new Uint8Array(former.buffer, former.byteOffset, former.byteLength);
  return new Float32Array(new Uint8Array(decodeDifference(bytes, difference, 4 * length)).buffer);
}

/** Back from the last step to weights that are here, then forth. */
async function followSteps(
  way: Way,
  { length, hash }: Pick<RoundBase, "length" | "hash">,
  port: WayPort,
): Promise<Float32Array> {
  const steps: ReturnType<typeof decodeChange>[] = [];
  let next: { readonly sha256: string; readonly bytes: number } | null = way;
  while (next && steps.length < way.steps) {
    const step = decodeChange(await port.blob(next.sha256, next.bytes));
    steps.unshift(step);
    next = step.before;
    let weights = await port.weights(step.from);
    if (!weights) continue;
    if (weights.length !== length) break;
    for (const { body, codec } of steps) weights = applyChange(weights, body, updateSpace({ header: codec, length }));
    return weights;
  }
  throw new TidegateError("BASE_MISSING", { model: "the steps that are offered", hash });
}
