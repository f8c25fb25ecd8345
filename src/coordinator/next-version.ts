import { hash } from "node:crypto";
import { seededRandom } from "../base/random.ts";
import { blobHash } from "../control/blob-hash.ts";
import type { CodecHeader } from "../federated/codec-header.ts";
import { PublishedVersions } from "../federated/published-versions.ts";
import { updateSpace } from "../federated/update-space.ts";
import { encodeChange } from "../federated/version-change.ts";
import { bytesOfVector, vectorOfBytes, weightsHash } from "./bundle-weights.ts";
import type { ModelVersion, VersionChange } from "./coordinator-store.ts";

/**
 * The version with which a line of versions begins: of a model, or an older one anew. Its root names the line, another one
 * for each beginning, though its weights were seen before.
 */
export function beginLine(
  of: Pick<ModelVersion, "model" | "version" | "parent" | "weights" | "tensors" | "at">,
): ModelVersion {
  const weights = weightsHash(of.weights);
  const root = hash("sha256", `tidegate line\n${of.version}\n${weights}`, "hex");
  return { ...of, hash: weights, root, exact: null, state: new Uint8Array(), metrics: {} };
}

/**
 * What gateways get of a version: the one before, and a step that tells most of what the strategy has learned. The rest
 * stays in `exact`, and a later step tells it. The same round gives the same bytes, however often it is done.
 *
 * @param exact  the strategy's weights
 * @param header  how steps are written; null: gateways get the strategy's weights
 * @param changes  steps that led to `base`, the newest first
 */
export function tellVersion(
  base: ModelVersion,
  exact: Uint8Array,
  round: number,
  header: CodecHeader | null,
  changes: readonly VersionChange[],
): { readonly version: Pick<ModelVersion, "weights" | "exact" | "hash">; readonly change: VersionChange | null } {
  if (!header || exact.length !== base.weights.length)
    return { version: { weights: exact, exact: null, hash: weightsHash(exact) }, change: null };
  const told = new PublishedVersions(
    vectorOfBytes(base.weights),
    updateSpace({ header, length: base.weights.length / 4 }),
  );
  const body = told.publish(vectorOfBytes(exact), seededRandom(seedOf(base.model, round)));
  const weights = bytesOfVector(told.weights);
  const to = weightsHash(weights);
  const version = { weights, exact, hash: to };
  // Nothing was learned that could be told.
  if (!body || to === base.hash) return { version, change: null };
  const [before] = chainTo(base.hash, changes);
  const blob = encodeChange({
    from: base.hash,
    codec: header,
    before: before ? { sha256: blobHash(before.blob), bytes: before.blob.length } : null,
    body,
  });
  return { version, change: { version: base.version + 1, from: base.hash, to, blob } };
}

/** The steps that lead to these weights, the last one first. */
export function chainTo(weights: string, changes: readonly VersionChange[]): VersionChange[] {
  const chain: VersionChange[] = [];
  let to = weights;
  for (const change of changes)
    if (change.to === to) {
      chain.push(change);
      to = change.from;
    }
  return chain;
}

const seedOf = (model: string, round: number): number =>
  Number.parseInt(hash("sha256", `tidegate step\n${model}\n${round}`, "hex").slice(0, 8), 16);
