import { linkSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import nacl from "tweetnacl";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, readKeyFile, syncDirectory, writeKeyFile } from "./key-file.ts";
import { findKey, type KeyRing, type KeyRingOptions, newSecrets } from "./key-ring.ts";
import { fingerprint } from "./signing.ts";

/** A data key before the one in use: its file is named after its public half. */
const formerName = /^box-[0-9a-f]{16}\.key$/;

type BoxKey = KeyRing["box"];

/**
 * The data keys before the one in use, newest first: they still open what was sealed before a gateway knew the new one.
 * @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED
 */
export function formerBoxes({ dataDir }: KeyRingOptions): BoxKey[] {
  return formerFiles(dataDir).flatMap((file) => {
    const { uid } = statSync(file);
    const secretKey = readKeyFile(file, { owners: [uid], forbiddenMode: 0o077 });
    return secretKey ? [{ publicKey: nacl.scalarMult.base(secretKey), secretKey }] : [];
  });
}

/**
 * Puts a new data key in place of the one in use, which stays beside it. A crash leaves the old key in use, or the new.
 * @returns the new public key
 * @throws TidegateError KEY_MISSING, KEY_UNWRITABLE (it lies among the unit's credentials, or the folder is read-only)
 */
export function rotateBox(options: KeyRingOptions): Uint8Array {
  const { key, file } = findKey(options, "box");
  const dir = join(options.dataDir, "keys");
  if (!key) throw new TidegateError("KEY_MISSING", { dir: options.dataDir, file });
  if (dirname(file) !== dir)
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: "it is a credential of the unit: replace it there" });
  const next = newSecrets().box;
  const draft = join(dir, ".box.next");
  try {
    rmSync(draft, { force: true });
    writeKeyFile(draft, next);
    keep(file, join(dir, `box-${fingerprint(nacl.scalarMult.base(key)).slice(0, 16)}.key`));
    renameSync(draft, file);
    syncDirectory(dir);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  return nacl.scalarMult.base(next);
}

/** The second name of a key stays when the first goes to another. */
function keep(file: string, as: string): void {
  try {
    linkSync(file, as);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST") throw thrown;
  }
}

/** Removes the data keys before the one in use: what was sealed to them opens no more. @returns how many there were */
export function retireBoxes({ dataDir }: KeyRingOptions): number {
  const files = formerFiles(dataDir);
  for (const file of files) rmSync(file, { force: true });
  if (files.length > 0) syncDirectory(join(dataDir, "keys"));
  return files.length;
}

function formerFiles(dataDir: string): string[] {
  const dir = join(dataDir, "keys");
  try {
    const files = readdirSync(dir).filter((name) => formerName.test(name));
    const made = (file: string) => statSync(file).mtimeMs;
    return files.map((name) => join(dir, name)).sort((a, b) => made(b) - made(a));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new TidegateError("FILE_UNREADABLE", { file: dir, reason: reasonOf(cause) }, { cause });
  }
}
