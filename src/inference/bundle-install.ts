import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../base/durable-file.ts";

const formerName = (name: string): string => `.${name}.former`;

/**
 * Puts a candidate's folder in the place of a bundle. The former version is kept beside it, one of them.
 * A crash in between leaves the former version alone, which `settleBundles` puts back.
 *
 * @param models  folder of bundles, on the same file system as the candidate
 */
export async function installBundle(candidate: string, models: string, name: string): Promise<void> {
  await mkdir(models, { recursive: true, mode: 0o750 });
  const former = join(models, formerName(name));
  const target = join(models, name);
  await rm(former, { recursive: true, force: true });
  if (await isThere(target)) await rename(target, former);
  await rename(candidate, target);
  await syncFolder(models);
}

/**
 * Puts the former version back; the one that was in its place takes its place beside it.
 * @returns false when there is no former version
 */
export async function revertBundle(models: string, name: string): Promise<boolean> {
  const former = join(models, formerName(name));
  const target = join(models, name);
  if (!(await isThere(former))) return false;
  const aside = join(models, `.${name}.reverted`);
  await rm(aside, { recursive: true, force: true });
  if (await isThere(target)) await rename(target, aside);
  await rename(former, target);
  await syncFolder(models);
  await rm(aside, { recursive: true, force: true });
  return true;
}

/** Takes a gateway's own version away, so that the one that ships is found again. */
export async function withdrawBundle(models: string, name: string): Promise<void> {
  await rm(join(models, name), { recursive: true, force: true });
  await syncFolder(models);
}

/** Ends what a crash in the midst of `installBundle` has left. */
export async function settleBundles(models: string): Promise<void> {
  for (const entry of await readdir(models).catch(() => [])) {
    const name = /^\.(.+)\.former$/.exec(entry)?.[1];
    if (name === undefined || (await isThere(join(models, name)))) continue;
    await rename(join(models, entry), join(models, name));
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
