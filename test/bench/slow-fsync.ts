import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A library that delays fsync, compiled here; null where no compiler is. */
export type SlowFsync = { env(ms: number): Record<string, string>; remove(): void };

export function compileSlowFsync(): SlowFsync | null {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-slow-fsync-"));
  const library = join(dir, "slow-fsync.so");
  const remove = () => rmSync(dir, { recursive: true, force: true });
  try {
    const source = join(import.meta.dirname, "slow-fsync.c");
    execFileSync("cc", ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], { stdio: "pipe" });
  } catch {
    remove();
    return null;
  }
  return { env: (ms) => ({ LD_PRELOAD: library, SLOW_FSYNC_MS: `${ms}` }), remove };
}
