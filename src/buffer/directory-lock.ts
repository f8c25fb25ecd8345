import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { TidegateError } from "../base/errors.ts";
import { lockFile } from "../drivers/sqlite.ts";

/** @throws TidegateError DATA_DIR_IN_USE, or the system's error */
export function lockDirectory(dir: string): { release(): void } {
  mkdirSync(dir, { recursive: true, mode: 0o750 });
  // SQLite says of a directory that is read-only no more than that it cannot open a file.
  accessSync(dir, constants.W_OK);
  const lock = lockFile(join(dir, "lock"));
  if (!lock) throw new TidegateError("DATA_DIR_IN_USE", { dir });
  return lock;
}
