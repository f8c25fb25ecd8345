import { existsSync, renameSync, rmSync, statSync } from "node:fs";

const asideOf = (file: string): string => `${file}.aside`;

/**
 * Moves a database that will not open out of the way, over the one that was set aside before: there is one at most.
 * A large one is removed instead: it would stand in the way of new readings.
 * @returns whether it was kept
 */
export function setAside(file: string, maxBytes: number): boolean {
  rmSync(asideOf(file), { force: true });
  // Its log belongs to it alone: replayed into the new file it would destroy that, too.
  for (const end of ["-wal", "-shm"]) rmSync(file + end, { force: true });
  if (!existsSync(file)) return false;
  if (statSync(file).size > maxBytes) {
    rmSync(file, { force: true });
    return false;
  }
  renameSync(file, asideOf(file));
  return true;
}

/** Bytes of the file that was set aside; 0 when there is none. */
export function asideBytes(file: string): number {
  return statSync(asideOf(file), { throwIfNoEntry: false })?.size ?? 0;
}

export function removeAside(file: string): void {
  rmSync(asideOf(file), { force: true });
}
