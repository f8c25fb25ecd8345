import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import nacl from "tweetnacl";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, type KeyFileRule, readKeyFile } from "./key-file.ts";
import { fingerprintsOf, type KeyName, type KeySecrets, keyNames, newSecrets } from "./key-secrets.ts";
import { readIdentity, sealedFile, storeKey, storeSealed, unsealed } from "./key-store.ts";
import { type Signer, signerOf } from "./signing.ts";

export { type KeyName, type KeySecrets, keyNames } from "./key-secrets.ts";

/** The file of a key, in `<dataDir>/keys` and in the credentials directory alike. */
export const keyFileName = (name: KeyName): string => `${name}.key`;

export type KeyRing = {
  readonly storageRoot: Uint8Array;
  readonly signer: Signer;
  readonly box: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array };
  /** Safe to show: none of them tells anything of a secret. */
  readonly fingerprints: Readonly<Record<KeyName, string>>;
  /** Names this gateway to brokers: the fingerprint of its first signing key. */
  readonly identity: string;
  /** Where each key was read from. */
  readonly files: Readonly<Record<KeyName, string>>;
  /** True when this call made at least one key: the caller says so to the user. */
  readonly isNew: boolean;
};

export type KeyRingOptions = {
  readonly dataDir: string;
  /** `$CREDENTIALS_DIRECTORY`: a key that lies there comes before the one in the data directory. */
  readonly credentialsDir?: string | undefined;
  /** Opens keys that lie under a passphrase; new keys are put under it. */
  readonly passphrase?: string | undefined;
};

/** What may lie in a data directory that holds no data: a key can be made without locking anything out. */
const harmless = /^(keys|models|lost\+found|control\.sock|trusted\.json|\..*|.*\.(lock|ya?ml))$/;

/** Whether a data directory has no data yet; true also when there is none. */
export function isEmptyDataDir(dataDir: string): boolean {
  try {
    return readdirSync(dataDir).every((name) => harmless.test(name));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return true;
    throw new TidegateError("FILE_UNREADABLE", { file: dataDir, reason: reasonOf(cause) }, { cause });
  }
}

/**
 * Opens the keys of a data directory; on one without data it makes those that are missing.
 *
 * @throws TidegateError KEY_MISSING when there are data but not every key, KEY_UNREADABLE when the mode or the owner
 *   of a key is wrong, KEY_DAMAGED when a file holds no key, PASSPHRASE_MISSING, PASSPHRASE_WRONG
 */
export function openKeyRing(options: KeyRingOptions): KeyRing {
  const { dataDir } = options;
  const missing = keyNames.filter((name) => findKey(options, name).key === null);
  const isNew = missing.length > 0 && isEmptyDataDir(dataDir);
  if (isNew) makeKeys(options, missing);
  const files: Partial<Record<KeyName, string>> = {};
  const secretOf = (name: KeyName): Uint8Array => {
    const { key, file } = findKey(options, name);
    files[name] = file;
    if (!key) throw new TidegateError("KEY_MISSING", { dir: dataDir, file });
    return key;
  };
  const secrets = { storage: secretOf("storage"), signing: secretOf("signing"), box: secretOf("box") };
  const ring = ringOf(secrets);
  return { ...ring, identity: readIdentity(dataDir) ?? ring.identity, files: files as Record<KeyName, string>, isNew };
}

/** Under the passphrase where there is one and no key lies open yet, else one file for each. */
function makeKeys({ dataDir, passphrase }: KeyRingOptions, missing: readonly KeyName[]): void {
  const fresh = newSecrets();
  const isSealed = passphrase !== undefined && missing.length === keyNames.length;
  if (isSealed) storeSealed(dataDir, { ...fresh, formerBoxes: [] }, passphrase);
  else for (const name of missing) storeKey(dataDir, name, fresh[name]);
}

function ringOf(secrets: KeySecrets): Omit<KeyRing, "files" | "isNew"> {
  const fingerprints = fingerprintsOf(secrets);
  return {
    storageRoot: secrets.storage,
    signer: signerOf(secrets.signing),
    box: { publicKey: nacl.scalarMult.base(secrets.box), secretKey: secrets.box },
    fingerprints,
    identity: fingerprints.signing,
  };
}

/** A key ring that lies on no disk, for demos and tests. */
export const ephemeralKeyRing = (): Omit<KeyRing, "files" | "isNew"> => ringOf(newSecrets());

/**
 * Reads one key from where it lies: the unit's credentials, a file of its own, or sealed under the passphrase. Makes none.
 * @returns the key or null, and the file it was read from or is missing from
 * @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED, PASSPHRASE_MISSING, PASSPHRASE_WRONG
 */
export function findKey(options: KeyRingOptions, name: KeyName): { key: Uint8Array | null; file: string } {
  const { dataDir, credentialsDir } = options;
  if (credentialsDir) {
    const file = join(credentialsDir, keyFileName(name));
    const key = readKeyFile(file, credentialRule());
    if (key) return { key, file };
  }
  const dir = join(dataDir, "keys");
  const file = join(dir, keyFileName(name));
  const key = readKeyFile(file, ownRule(dataDir, dir));
  if (key) return { key, file };
  const sealed = unsealed(options);
  return sealed ? { key: sealed[name], file: sealedFile(dataDir) } : { key: null, file };
}

/**
 * Reads the secrets themselves, for a backup; makes none.
 * @throws TidegateError KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED, PASSPHRASE_MISSING, PASSPHRASE_WRONG
 */
export function readSecrets(options: KeyRingOptions): KeySecrets {
  const secretOf = (name: KeyName): Uint8Array => {
    const { key, file } = findKey(options, name);
    if (!key) throw new TidegateError("KEY_MISSING", { dir: options.dataDir, file });
    return key;
  };
  return { storage: secretOf("storage"), signing: secretOf("signing"), box: secretOf("box") };
}

const effectiveUser = (): number => process.geteuid?.() ?? 0;

/** systemd hands credentials to the unit's user, or leaves them root's and lets the user in by an ACL (group bits). */
const credentialRule = (): KeyFileRule => ({ owners: [effectiveUser(), 0], forbiddenMode: 0o037 });

function ownRule(dataDir: string, dir: string): KeyFileRule {
  const user = effectiveUser();
  let stats: { mode: number; uid: number };
  try {
    stats = statSync(dir);
  } catch {
    return { owners: [user], forbiddenMode: 0o077 };
  }
  // Whoever can write here can put another key in place of ours.
  if ((stats.mode & 0o022) !== 0) {
    throw new TidegateError("KEY_UNREADABLE", { file: dir, reason: "others may write in this directory" });
  }
  // Root reads everything anyway: its verbs work on the directory of the service's user.
  const owners = user === 0 ? [0, statSync(dataDir).uid] : [user];
  return { owners, forbiddenMode: 0o077 };
}
