import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import nacl from "tweetnacl";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, type KeyFileRule, readKeyFile, syncDirectory, writeKeyFile } from "./key-file.ts";
import { deriveKey, keyBytes } from "./sealing.ts";
import { fingerprint, type Signer, signerOf } from "./signing.ts";

/** The keys of one gateway (or sink) by what they are for. */
export type KeySecrets = {
  /** Root of all keys of the data at rest [32]. */
  readonly storage: Uint8Array;
  /** Seed of the Ed25519 key that signs what this gateway sends [32]. */
  readonly signing: Uint8Array;
  /** X25519 secret key that opens what is sealed for this gateway [32]. */
  readonly box: Uint8Array;
};

export type KeyName = keyof KeySecrets;
export const keyNames = ["storage", "signing", "box"] as const satisfies readonly KeyName[];

/** The file of a key, in `<dataDir>/keys` and in the credentials directory alike. */
export const keyFileName = (name: KeyName): string => `${name}.key`;

export type KeyRing = {
  readonly storageRoot: Uint8Array;
  readonly signer: Signer;
  readonly box: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array };
  /** Safe to show: none of them tells anything of a secret. */
  readonly fingerprints: Readonly<Record<KeyName, string>>;
  /** Where each key was read from. */
  readonly files: Readonly<Record<KeyName, string>>;
  /** True when this call made at least one key: the caller says so to the user. */
  readonly isNew: boolean;
};

export type KeyRingOptions = {
  readonly dataDir: string;
  /** `$CREDENTIALS_DIRECTORY`: a key that lies there comes before the one in the data directory. */
  readonly credentialsDir?: string | undefined;
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

/** Fresh secrets from the system's random source. */
export const newSecrets = (): KeySecrets => ({
  storage: new Uint8Array(randomBytes(keyBytes)),
  signing: new Uint8Array(randomBytes(keyBytes)),
  box: new Uint8Array(randomBytes(keyBytes)),
});

/** The fingerprints of secrets: of the public half where there is one, of a derived value else. */
export const fingerprintsOf = (secrets: KeySecrets): Record<KeyName, string> => ({
  storage: fingerprint(deriveKey(secrets.storage, "tidegate/fingerprint/1")),
  signing: signerOf(secrets.signing).keyId,
  box: fingerprint(nacl.scalarMult.base(secrets.box)),
});

/**
 * Opens the keys of a data directory; on one without data it makes those that are missing.
 *
 * @throws TidegateError KEY_MISSING when there are data but not every key, KEY_UNREADABLE when the mode or the owner
 *   of a key is wrong, KEY_DAMAGED when a file holds no key
 */
export function openKeyRing(options: KeyRingOptions): KeyRing {
  const { dataDir } = options;
  const files: Partial<Record<KeyName, string>> = {};
  let isNew = false;
  const secretOf = (name: KeyName): Uint8Array => {
    let found = findKey(options, name);
    if (!found.key && isEmptyDataDir(dataDir)) {
      storeKey(dataDir, name, newSecrets()[name]);
      isNew = true;
      found = findKey(options, name);
    }
    files[name] = found.file;
    if (!found.key) throw new TidegateError("KEY_MISSING", { dir: dataDir, file: found.file });
    return found.key;
  };
  const secrets = { storage: secretOf("storage"), signing: secretOf("signing"), box: secretOf("box") };
  return { ...ringOf(secrets), files: files as Record<KeyName, string>, isNew };
}

function ringOf(secrets: KeySecrets): Omit<KeyRing, "files" | "isNew"> {
  return {
    storageRoot: secrets.storage,
    signer: signerOf(secrets.signing),
    box: { publicKey: nacl.scalarMult.base(secrets.box), secretKey: secrets.box },
    fingerprints: fingerprintsOf(secrets),
  };
}

/** A key ring that lies on no disk, for demos and tests. */
export const ephemeralKeyRing = (): Omit<KeyRing, "files" | "isNew"> => ringOf(newSecrets());

/**
 * Reads one key from where it lies; makes none.
 * @returns the key or null, and the file it was read from or is missing from
 * @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED
 */
export function findKey({ dataDir, credentialsDir }: KeyRingOptions, name: KeyName) {
  if (credentialsDir) {
    const file = join(credentialsDir, keyFileName(name));
    const key = readKeyFile(file, credentialRule());
    if (key) return { key, file };
  }
  const dir = join(dataDir, "keys");
  const file = join(dir, keyFileName(name));
  return { key: readKeyFile(file, ownRule(dataDir, dir)), file };
}

/**
 * Reads the secrets themselves, for a backup; makes none.
 * @throws TidegateError KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED
 */
export function readSecrets(options: KeyRingOptions): KeySecrets {
  const secretOf = (name: KeyName): Uint8Array => {
    const { key, file } = findKey(options, name);
    if (!key) throw new TidegateError("KEY_MISSING", { dir: options.dataDir, file });
    return key;
  };
  return { storage: secretOf("storage"), signing: secretOf("signing"), box: secretOf("box") };
}

/** Puts one key where there is none; returns false when there is one already, which stays. */
export function storeKey(dataDir: string, name: KeyName, key: Uint8Array): boolean {
  const dir = join(dataDir, "keys");
  try {
    if (mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined) syncDirectory(dataDir);
    return writeKeyFile(join(dir, keyFileName(name)), key);
  } catch (cause) {
    throw new TidegateError(
      "KEY_UNWRITABLE",
      { file: join(dir, keyFileName(name)), reason: reasonOf(cause) },
      { cause },
    );
  }
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
