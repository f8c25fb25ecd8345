import { randomBytes } from "node:crypto";
import {
  chownSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, syncDirectory, writeKeyFile } from "./key-file.ts";
import type { KeptSecrets, KeyName } from "./key-secrets.ts";
import { openKeys, sealKeys } from "./sealed-keys.ts";

/** Keys under a passphrase lie in one file, beside where they would lie open. */
export const sealedFile = (dataDir: string): string => join(dataDir, "keys", "sealed.json");

/** The folder of the keys of a data directory, made where it is missing: for its owner alone. */
export function ensureKeysDir(dataDir: string): string {
  const dir = join(dataDir, "keys");
  if (mkdirSync(dir, { recursive: true, mode: 0o700 }) !== undefined) syncDirectory(dataDir);
  return dir;
}

/** Puts one key where there is none; returns false when there is one already, which stays. */
export function storeKey(dataDir: string, name: KeyName, key: Uint8Array): boolean {
  const file = join(dataDir, "keys", `${name}.key`);
  try {
    return writeKeyFile(join(ensureKeysDir(dataDir), `${name}.key`), key);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

/**
 * Replaces a small file of the keys' folder whole, durably, mode 0600. When root writes, it stays the owner's of the folder.
 * @throws TidegateError KEY_UNWRITABLE
 */
export function replaceInKeys(dataDir: string, name: string, text: string): void {
  const file = join(dataDir, "keys", name);
  try {
    const dir = ensureKeysDir(dataDir);
    const draft = join(dir, `.${randomBytes(6).toString("hex")}.new`);
    const descriptor = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    try {
      if (process.geteuid?.() === 0) {
        const { uid, gid } = statSync(dir);
        chownSync(draft, uid, gid);
      }
      renameSync(draft, file);
    } finally {
      rmSync(draft, { force: true });
    }
    syncDirectory(dir);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

const identityName = "identity";

/**
 * What names this gateway to brokers when its signing key is no longer the first; undefined while it is.
 * @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED
 */
export function readIdentity(dataDir: string): string | undefined {
  const file = join(dataDir, "keys", identityName);
  let text: string;
  try {
    text = readFileSync(file, "latin1").trim();
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined;
    throw new TidegateError("KEY_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw new TidegateError("KEY_DAMAGED", { file, reason: "it is no fingerprint" });
}

/** @throws TidegateError KEY_UNWRITABLE */
export const keepIdentity = (dataDir: string, keyId: string): void =>
  replaceInKeys(dataDir, identityName, `${keyId}\n`);

/** Puts keys under a passphrase, in place of those that lay under one before. @throws TidegateError KEY_UNWRITABLE, USAGE */
export function storeSealed(dataDir: string, secrets: KeptSecrets, passphrase: string): void {
  replaceInKeys(dataDir, "sealed.json", sealKeys(secrets, passphrase));
}

/** What was opened last: opening costs as much as it costs who guesses. */
let opened: { readonly text: string; readonly passphrase: string; readonly secrets: KeptSecrets } | undefined;

/**
 * The keys that lie under the passphrase; null when none do.
 * @throws TidegateError PASSPHRASE_MISSING, PASSPHRASE_WRONG, KEY_UNREADABLE, KEY_DAMAGED
 */
export function unsealed(options: { dataDir: string; passphrase?: string | undefined }): KeptSecrets | null {
  const file = sealedFile(options.dataDir);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return null;
    throw new TidegateError("KEY_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  const { passphrase } = options;
  if (passphrase === undefined) throw new TidegateError("PASSPHRASE_MISSING", { file });
  if (opened?.text === text && opened.passphrase === passphrase) return opened.secrets;
  let secrets: KeptSecrets | null;
  try {
    secrets = openKeys(text, passphrase);
  } catch (cause) {
    throw new TidegateError("KEY_DAMAGED", { file, reason: reasonOf(cause) }, { cause });
  }
  if (!secrets) throw new TidegateError("PASSPHRASE_WRONG", { file });
  opened = { text, passphrase, secrets };
  return secrets;
}
