import { randomBytes, type ScryptOptions, scrypt } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { findKey, fingerprintsOf, type KeyName, type KeySecrets, keyNames, storeKey } from "./key-ring.ts";
import { keyBytes, open, seal } from "./sealing.ts";

/** Cost of one guess at a passphrase: 64 MiB of memory, twice over. A gateway with 512 MB can still do it. */
const cost = { N: 2 ** 16, r: 8, p: 2 } as const;
/** A backup comes from outside: it may not ask for more than this. */
const maxCost = { N: 2 ** 18, r: 16, p: 8 } as const;
const saltBytes = 16;
const minPassphrase = 8;
const maxBackupBytes = 16_384;
const format = "tidegate-keys/1";

/** A backup as it is written to a file: JSON, safe to keep where the passphrase is not. */
export type KeyBackup = {
  readonly format: typeof format;
  readonly scrypt: { readonly N: number; readonly r: number; readonly p: number; readonly salt: string };
  /** base64 of nonce [24] | secretbox of the keys. */
  readonly sealed: string;
  readonly fingerprints: Readonly<Record<KeyName, string>>;
};

function passphraseKey(passphrase: string, salt: Uint8Array, { N, r, p }: ScryptOptions): Promise<Uint8Array> {
  const options = { N, r, p, maxmem: 256 * (N ?? 0) * (r ?? 0) };
  return new Promise((resolve, reject) => {
    // The same letters typed on another keyboard may come as other code points.
    scrypt(passphrase.normalize("NFKC"), salt, keyBytes, options, (error, key) =>
      error ? reject(error) : resolve(new Uint8Array(key)),
    );
  });
}

/**
 * Seals keys under a passphrase (scrypt, XSalsa20-Poly1305).
 * @returns JSON text
 * @throws TidegateError USAGE when the passphrase is too short
 */
export async function sealBackup(secrets: KeySecrets, passphrase: string): Promise<string> {
  if ([...passphrase].length < minPassphrase) {
    throw new TidegateError("USAGE", { detail: `the passphrase must have ${minPassphrase} characters or more` });
  }
  const salt = randomBytes(saltBytes);
  const key = await passphraseKey(passphrase, salt, cost);
  const plain = Buffer.concat(keyNames.map((name) => secrets[name]));
  const sealed = seal(plain, key);
  plain.fill(0);
  key.fill(0);
  const backup: KeyBackup = {
    format,
    scrypt: { ...cost, salt: salt.toString("base64") },
    sealed: Buffer.from(sealed).toString("base64"),
    fingerprints: fingerprintsOf(secrets),
  };
  return `${JSON.stringify(backup, null, 2)}\n`;
}

/**
 * Opens what `sealBackup` made.
 * @throws TidegateError BACKUP_UNREADABLE: no backup, damaged, or another passphrase
 */
export async function openBackup(text: string, passphrase: string): Promise<KeySecrets> {
  const { scrypt: asked, sealed } = parseBackup(text);
  const key = await passphraseKey(passphrase, Buffer.from(asked.salt, "base64"), asked);
  const plain = open(Buffer.from(sealed, "base64"), key);
  if (plain?.length !== keyNames.length * keyBytes) {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: "the passphrase is another one, or the file is damaged" });
  }
  const secretAt = (name: KeyName): Uint8Array => {
    const at = keyNames.indexOf(name) * keyBytes;
    return plain.slice(at, at + keyBytes);
  };
  return { storage: secretAt("storage"), signing: secretAt("signing"), box: secretAt("box") };
}

function parseBackup(text: string): KeyBackup {
  if (text.length > maxBackupBytes) throw new TidegateError("BACKUP_UNREADABLE", { reason: "it is too large" });
  let backup: Partial<KeyBackup> | null;
  try {
    backup = JSON.parse(text) as Partial<KeyBackup> | null;
  } catch (cause) {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: "it is not JSON" }, { cause });
  }
  const asked = backup?.scrypt;
  if (backup?.format !== format || typeof backup.sealed !== "string" || typeof asked?.salt !== "string") {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: `it is not of the format ${format}` });
  }
  const isBounded = (name: "N" | "r" | "p"): boolean =>
    Number.isInteger(asked[name]) && asked[name] >= 1 && asked[name] <= maxCost[name];
  const isPowerOfTwo = asked.N > 1 && Number.isInteger(Math.log2(asked.N));
  if (!isPowerOfTwo || !isBounded("N") || !isBounded("r") || !isBounded("p")) {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: "its cost parameters are out of bounds" });
  }
  return backup as KeyBackup;
}

/**
 * Puts the keys of a backup into `<dataDir>/keys`. Keys that are there and the same are left; none is replaced.
 * @returns the names of those that were put there
 * @throws TidegateError KEY_PRESENT when another key is there; then nothing is written
 */
export function restoreKeys(dataDir: string, secrets: KeySecrets): KeyName[] {
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
  return missing;
}
