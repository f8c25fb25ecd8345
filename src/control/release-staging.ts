import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { copyDurably, syncFolder, writeDurably } from "../base/durable-file.ts";
import { TidegateError } from "../base/errors.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { type BlobFetchOptions, fetchBlob } from "./blob-fetch.ts";
import { blobHash } from "./blob-hash.ts";
import { decodeDifference, planesKind } from "./model-difference.ts";
import type { Manifest, ReleaseFile } from "./model-manifest.ts";

export type StagingOptions = {
  /** Folder of what is under way; it lies on the same file system as the models. */
  readonly dir: string;
  /** The version that runs: files and differences are taken from it where they fit. */
  readonly active: Bundle | null;
  readonly fetch: Omit<BlobFetchOptions, "dir">;
  /** Bytes that came over the line. */
  onReceived?(bytes: number): void;
};

const fileMode = 0o640;

/**
 * Brings a release together in a folder of its own: files that are here are copied, others come as a difference to one
 * that is here when that is smaller, or whole. What is incomplete stays for the next time.
 *
 * @returns the bundle, whose hash is the one that was signed
 * @throws TidegateError BLOB_MISSING, BLOB_DAMAGED, MANIFEST_INVALID, CARD_INVALID, STOPPED
 */
export async function stageRelease(manifest: Manifest, options: StagingOptions): Promise<Bundle> {
  const { release, subject } = manifest;
  const folder = join(options.dir, folderName(subject, release.hash));
  await tidy(manifest, options.dir);
  await mkdir(folder, { recursive: true, mode: 0o750 });
  const here = options.active ? await filesOf(options.active) : new Map<string, string>();
  const blobs = join(options.dir, "blobs", subject);
  for (const file of release.files) await bring(file, join(folder, file.path), here, { ...options, dir: blobs });
  await syncFolder(folder);
  const bundle = await openBundle(folder);
  if (bundle.hash !== release.hash || bundle.name !== subject || bundle.card.version !== release.version) {
    await rm(folder, { recursive: true, force: true });
    const reason = `its files make ${bundle.name} ${bundle.card.version} with another hash than it names`;
    throw new TidegateError("MANIFEST_INVALID", { reason });
  }
  return bundle;
}

const folderName = (model: string, release: string): string => `${model}-${release.slice(0, 16)}`;

/** Removes what releases of the model that were given up have left: one after another they would fill the disk. */
async function tidy({ subject, release }: Manifest, dir: string): Promise<void> {
  const wanted = release.files.flatMap((file) => [file, ...file.differences]).map(({ sha256 }) => sha256);
  const isOfModel = (name: string) =>
    name.length === folderName(subject, release.hash).length && name.startsWith(`${subject}-`);
  const isLeft = (name: string) => isOfModel(name) && name !== folderName(subject, release.hash);
  const blobs = join(dir, "blobs", subject);
  const left = [
    ...(await namesIn(dir)).filter(isLeft).map((name) => join(dir, name)),
    ...(await namesIn(blobs)).filter((name) => !wanted.includes(name.slice(0, 64))).map((name) => join(blobs, name)),
  ];
  for (const path of left) await rm(path, { recursive: true, force: true });
}

const namesIn = (dir: string): Promise<string[]> => readdir(dir).catch(() => []);

async function bring(file: ReleaseFile, target: string, here: Map<string, string>, options: StagingOptions) {
  const { dir, fetch, onReceived } = options;
  if (await hasHash(target, file.sha256)) return;
  const known = here.get(file.sha256);
  if (known) return copyDurably(known, target);
  const get = (blob: { sha256: string; size: number; url?: string | undefined }) => fetchBlob(blob, { ...fetch, dir });
  for (const difference of file.differences) {
    const base = here.get(difference.from);
    if (!base || difference.kind !== planesKind || difference.size >= file.size) continue;
    const part = await get(difference);
    onReceived?.(difference.size);
    const bytes = decodeDifference(await readFile(base), await readFile(part), file.size);
    await rm(part, { force: true });
    if (blobHash(bytes) !== file.sha256) break;
    return writeDurably(target, bytes, fileMode);
  }
  const whole = await get(file);
  onReceived?.(file.size);
  await rename(whole, target);
}

const hasHash = async (path: string, sha256: string): Promise<boolean> => {
  const bytes = await readFile(path).catch(() => null);
  return bytes !== null && blobHash(bytes) === sha256;
};

/** The files of a bundle by their hashes. */
async function filesOf({ dir, card }: Bundle): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of ["model.onnx", "card.yaml", card.golden]) {
    const path = join(dir, name);
    const bytes = await readFile(path).catch(() => null);
    if (bytes) found.set(blobHash(bytes), path);
  }
  return found;
}
