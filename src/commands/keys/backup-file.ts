import { closeSync, fsyncSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from "node:fs";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { openBackup, restoreKeys, sealBackup } from "../../crypto/key-backup.ts";
import { type KeyName, type KeyRingOptions, readSecrets } from "../../crypto/key-ring.ts";
import { fingerprintsOf } from "../../crypto/key-secrets.ts";

/** A backup is at most a few thousand bytes: what is much larger is none. */
const maxFileBytes = 65_536;

/**
 * Writes a backup to a new file, mode 0600, durably.
 * @throws TidegateError FILE_UNWRITABLE (also when there is such a file: it may be the only copy of other keys), USAGE,
 *   KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED
 */
export function writeBackup(
  file: string,
  place: KeyRingOptions,
  passphrase: string,
): { fingerprints: Record<KeyName, string> } {
  const secrets = readSecrets(place);
  const text = sealBackup(place, passphrase);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, "wx", 0o600);
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } catch (cause) {
    if (descriptor !== undefined) unlinkSync(file);
    const isThere = (cause as NodeJS.ErrnoException).code === "EEXIST";
    const reason = isThere ? "it is there already and is not replaced: give another name" : reasonOf(cause);
    throw new TidegateError("FILE_UNWRITABLE", { file, reason }, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  return { fingerprints: fingerprintsOf(secrets) };
}

/**
 * Puts the keys of a backup into a data directory.
 * @param passphrase  asked for once the file has been read
 * @returns the names of the keys that were put there, and how many box keys before the one in use
 * @throws TidegateError FILE_UNREADABLE, BACKUP_UNREADABLE, KEY_PRESENT
 */
export async function readBackup(
  file: string,
  dataDir: string,
  passphrase: () => Promise<string>,
): Promise<{ restored: KeyName[]; former: number }> {
  let text: string;
  try {
    if (statSync(file).size > maxFileBytes) throw new TidegateError("BACKUP_UNREADABLE", { reason: "it is too large" });
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (cause instanceof TidegateError) throw cause;
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  return restoreKeys(dataDir, openBackup(text, await passphrase()));
}
