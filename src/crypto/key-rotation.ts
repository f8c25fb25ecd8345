import { linkSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import nacl from "tweetnacl";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, readKeyFile, syncDirectory, writeKeyFile } from "./key-file.ts";
import { findKey, type KeyRing, type KeyRingOptions } from "./key-ring.ts";
import { newSecrets } from "./key-secrets.ts";
import { keepIdentity, readIdentity, sealedFile, storeSealed, unsealed } from "./key-store.ts";
import { maxFormerBoxes } from "./sealed-keys.ts";
import { fingerprint, signerOf } from "./signing.ts";

/** A box key before the one in use: its file is named after its public half. */
const formerPattern = /^box-[0-9a-f]{16}\.key$/;
const formerName = (key: Uint8Array): string => `box-${fingerprint(nacl.scalarMult.base(key)).slice(0, 16)}.key`;

type BoxKey = KeyRing["box"];

/**
 * The secret halves of the box keys before the one in use, newest first.
 * @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED, PASSPHRASE_MISSING, PASSPHRASE_WRONG
 */
export function formerSecrets(options: KeyRingOptions): Uint8Array[] {
  const open = formerFiles(options.dataDir).flatMap((file) => {
    const { uid } = statSync(file);
    const secretKey = readKeyFile(file, { owners: [uid], forbiddenMode: 0o077 });
    return secretKey ? [secretKey] : [];
  });
  return [...open, ...(unsealed(options)?.formerBoxes ?? [])].slice(0, maxFormerBoxes);
}

/** The box keys before the one in use, newest first: they still open what was sealed before the new one was known. */
export const formerBoxes = (options: KeyRingOptions): BoxKey[] =>
  formerSecrets(options).map((secretKey) => ({ publicKey: nacl.scalarMult.base(secretKey), secretKey }));

/** Puts a box key among those before the one in use; false when it is there already. @throws TidegateError KEY_UNWRITABLE */
export function keepFormer(dataDir: string, key: Uint8Array): boolean {
  const file = join(dataDir, "keys", formerName(key));
  try {
    return writeKeyFile(file, key);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

/**
 * Puts a new box key in place of the one in use, which stays beside it. A crash leaves the old key in use, or the new.
 * @returns the new public key
 * @throws TidegateError KEY_MISSING, KEY_UNWRITABLE (it lies among the unit's credentials, or the folder is read-only)
 */
export const rotateBox = (options: KeyRingOptions): Uint8Array => nacl.scalarMult.base(replaceKey(options, "box"));

/**
 * Puts a new signing key in place of the one in use, which goes: whoever trusted it has to be told of the new one. The
 * gateway's name for brokers stays, so that a broker still has the session, and what it kept for it.
 * @returns the new public key
 * @throws TidegateError as `rotateBox`
 */
export function rotateSigning(options: KeyRingOptions): Uint8Array {
  const { dataDir } = options;
  // Written first: with the old key in use it says the same.
  if (readIdentity(dataDir) === undefined) {
    const { key, file } = findKey(options, "signing");
    if (!key) throw new TidegateError("KEY_MISSING", { dir: dataDir, file });
    keepIdentity(dataDir, signerOf(key).keyId);
  }
  return signerOf(replaceKey(options, "signing")).publicKey;
}

/** @returns the new secret */
function replaceKey(options: KeyRingOptions, name: "box" | "signing"): Uint8Array {
  const { key, file } = findKey(options, name);
  const dir = join(options.dataDir, "keys");
  if (!key) throw new TidegateError("KEY_MISSING", { dir: options.dataDir, file });
  const next = newSecrets()[name];
  const sealed = file === sealedFile(options.dataDir) ? unsealed(options) : null;
  if (sealed) {
    const formerBoxes = name === "box" ? [sealed.box, ...sealed.formerBoxes] : sealed.formerBoxes;
    storeSealed(options.dataDir, { ...sealed, [name]: next, formerBoxes }, options.passphrase ?? "");
    return next;
  }
  if (dirname(file) !== dir)
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: "it is a credential of the unit: replace it there" });
  const draft = join(dir, `.${name}.next`);
  try {
    rmSync(draft, { force: true });
    writeKeyFile(draft, next);
    if (name === "box") keep(file, join(dir, formerName(key)));
    renameSync(draft, file);
    syncDirectory(dir);
  } catch (cause) {
    throw new TidegateError("KEY_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  return next;
}

/** The second name of a key stays when the first goes to another. */
function keep(file: string, as: string): void {
  try {
    linkSync(file, as);
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST") throw thrown;
  }
}

/** Removes the box keys before the one in use: what was sealed to them opens no more. @returns how many there were */
export function retireBoxes(options: KeyRingOptions): number {
  const { dataDir } = options;
  const files = formerFiles(dataDir);
  for (const file of files) rmSync(file, { force: true });
  if (files.length > 0) syncDirectory(join(dataDir, "keys"));
  const sealed = unsealed(options);
  if (!sealed || sealed.formerBoxes.length === 0) return files.length;
  storeSealed(dataDir, { ...sealed, formerBoxes: [] }, options.passphrase ?? "");
  return files.length + sealed.formerBoxes.length;
}

function formerFiles(dataDir: string): string[] {
  const dir = join(dataDir, "keys");
  try {
    const files = readdirSync(dir).filter((name) => formerPattern.test(name));
    const made = (file: string) => statSync(file).mtimeMs;
    return files.map((name) => join(dir, name)).sort((a, b) => made(b) - made(a));
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new TidegateError("FILE_UNREADABLE", { file: dir, reason: reasonOf(cause) }, { cause });
  }
}
