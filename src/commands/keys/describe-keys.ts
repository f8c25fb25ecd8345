import { lchownSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import {
  findKey,
  isEmptyDataDir,
  type KeyName,
  type KeyRingOptions,
  keyNames,
  openKeyRing,
} from "../../crypto/key-ring.ts";

export type KeyDescription = {
  readonly fingerprint: string;
  /** base64; null for what has no public half. */
  readonly publicKey: string | null;
  readonly file: string;
};

export type KeyDescriptions = Readonly<Record<KeyName, KeyDescription>>;

/**
 * What may be told of the keys; makes none.
 * @throws TidegateError KEYS_ABSENT (there are no data either), KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED
 */
export function describeKeys(place: KeyRingOptions): KeyDescriptions {
  for (const name of keyNames) {
    const { key, file } = findKey(place, name);
    if (key) continue;
    const code = isEmptyDataDir(place.dataDir) ? "KEYS_ABSENT" : "KEY_MISSING";
    throw new TidegateError(code, { dir: place.dataDir, file });
  }
  const { fingerprints, files, signer, box } = openKeyRing(place);
  const describe = (name: KeyName, publicKey: Uint8Array | null): KeyDescription => ({
    fingerprint: fingerprints[name],
    publicKey: publicKey && Buffer.from(publicKey).toString("base64"),
    file: files[name],
  });
  return {
    storage: describe("storage", null),
    signing: describe("signing", signer.publicKey),
    box: describe("box", box.publicKey),
  };
}

/** Keys that root put into the directory of the service's user belong to that user: else the daemon refuses them. */
export function handOver(dataDir: string): void {
  if (process.geteuid?.() !== 0) return;
  const dir = join(dataDir, "keys");
  try {
    const { uid, gid } = statSync(dataDir);
    // That user decides what lies here: a link must not make root give away a file of the system.
    if (!lstatSync(dir).isDirectory()) return;
    for (const file of [...readdirSync(dir).map((name) => join(dir, name)), dir]) lchownSync(file, uid, gid);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file: dir, reason: reasonOf(cause) }, { cause });
  }
}
