import { TidegateError } from "../base/errors.ts";
import { findKey, type KeyRingOptions, readSecrets } from "./key-ring.ts";
import { formerSecrets, keepFormer } from "./key-rotation.ts";
import { type KeptSecrets, type KeyName, keyNames } from "./key-secrets.ts";
import { storeKey } from "./key-store.ts";
import { openKeys, sealKeys } from "./sealed-keys.ts";

/**
 * The keys of a data directory as a backup, those of its box before the one in use among them.
 * @returns JSON text
 * @throws TidegateError USAGE when the passphrase is too short, KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED, PASSPHRASE_WRONG
 */
export const sealBackup = (place: KeyRingOptions, passphrase: string): string =>
  sealKeys({ ...readSecrets(place), formerBoxes: formerSecrets(place) }, passphrase);

/**
 * Opens what `sealBackup` made.
 * @throws TidegateError BACKUP_UNREADABLE: no backup, damaged, or another passphrase
 */
export function openBackup(text: string, passphrase: string): KeptSecrets {
  const secrets = openKeys(text, passphrase);
  if (secrets) return secrets;
  throw new TidegateError("BACKUP_UNREADABLE", { reason: "the passphrase is another one, or the file is damaged" });
}

/**
 * Puts the keys of a backup into `<dataDir>/keys`. Keys that are there and the same are left; none is replaced.
 * @returns the names of those that were put there, and how many box keys before the one in use
 * @throws TidegateError KEY_PRESENT when another key is there; then nothing is written
 */
export function restoreKeys(dataDir: string, secrets: KeptSecrets): { restored: KeyName[]; former: number } {
  const present = keyNames.filter((name) => findKey({ dataDir }, name).key);
  const others = present.filter((name) => {
    const { key } = findKey({ dataDir }, name);
    return key === null || Buffer.compare(key, secrets[name]) !== 0;
  });
  if (others.length > 0) throw new TidegateError("KEY_PRESENT", { dir: dataDir, names: others.join(", ") });
  const missing = keyNames.filter((name) => !present.includes(name));
  for (const name of missing) {
    if (!storeKey(dataDir, name, secrets[name])) throw new TidegateError("KEY_PRESENT", { dir: dataDir, names: name });
  }
  // Oldest first: which one is newer is told by when its file was made.
  const former = secrets.formerBoxes.toReversed().filter((key) => keepFormer(dataDir, key)).length;
  return { restored: missing, former };
}
