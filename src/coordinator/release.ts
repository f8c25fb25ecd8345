import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { blobHash } from "../control/blob-hash.ts";
import { encodeDifference, planesKind } from "../control/model-difference.ts";
import type { Manifest, ReleaseFile } from "../control/model-manifest.ts";
import type { Bundle } from "../inference/bundle.ts";

export type Release = {
  /** What the manifest says of it. */
  readonly release: Manifest["release"];
  /** What has to be published before the manifest is: files, and differences to earlier versions. */
  readonly blobs: readonly Uint8Array[];
};

/** A difference that saves less than this share of the file is not worth its place on the broker. */
const leastSaved = 0.1;

/**
 * Describes a bundle as a release.
 * @param parents  earlier versions that gateways may have: a difference to each is offered where it is smaller
 * @param urlOf  where a file can also be had, if anywhere
 */
export async function describeRelease(
  bundle: Bundle,
  parents: readonly Bundle[],
  urlOf?: (path: string, sha256: string) => string | undefined,
): Promise<Release> {
  const blobs: Uint8Array[] = [];
  const files: ReleaseFile[] = [];
  for (const path of pathsOf(bundle)) {
    const bytes = new Uint8Array(await readFile(join(bundle.dir, path)));
    const sha256 = blobHash(bytes);
    const differences: ReleaseFile["differences"] = [];
    for (const parent of parents) {
      const old = await readFile(join(parent.dir, path)).catch(() => null);
      if (!old || blobHash(old) === sha256) continue;
      const difference = encodeDifference(old, bytes);
      if (difference.length > (1 - leastSaved) * bytes.length) continue;
      blobs.push(difference);
      const [from, own] = [blobHash(old), blobHash(difference)];
      differences.push({ from, sha256: own, size: difference.length, kind: planesKind });
    }
    const url = urlOf?.(path, sha256);
    files.push({ path, sha256, size: bytes.length, ...(url ? { url } : {}), differences });
    blobs.push(bytes);
  }
  const { card, hash } = bundle;
  return { release: { version: card.version, hash, parent: card.parent ?? null, files }, blobs };
}

function pathsOf({ golden, card }: Bundle): string[] {
  return ["model.onnx", "card.yaml", ...(golden === "" ? [] : [card.golden])];
}
