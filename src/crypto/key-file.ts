import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { keyBytes } from "./sealing.ts";

/** Who may own a key file, and which bits of its mode may not be set. */
export type KeyFileRule = { readonly owners: readonly number[]; readonly forbiddenMode: number };

const maxFileBytes = 1_024;

/** The error number of a failed system call ("ENOENT"), or "". */
export const errnoOf = (thrown: unknown): string =>
  thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";

/**
 * Reads one key: 32 bytes as one line of base64. Null when there is no such file.
 * @throws TidegateError KEY_UNREADABLE (mode, owner, not readable), KEY_DAMAGED (not a key)
 */
export function readKeyFile(file: string, rule: KeyFileRule): Uint8Array | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return null;
    throw new TidegateError("KEY_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  try {
    // Of the open file, not of the name: between two looks at a name it can become another file.
    const { uid, mode, size } = fstatSync(descriptor);
    if (!rule.owners.includes(uid)) {
      const reason = `it belongs to user ${uid}, not ${rule.owners.join(" or ")}`;
      throw new TidegateError("KEY_UNREADABLE", { file, reason });
    }
    if ((mode & rule.forbiddenMode) !== 0) {
      const reason = `its mode is ${(mode & 0o7777).toString(8).padStart(4, "0")}: others may use it`;
      throw new TidegateError("KEY_UNREADABLE", { file, reason });
    }
    if (size > maxFileBytes) throw new TidegateError("KEY_DAMAGED", { file, reason: `it has ${size} bytes` });
    return parseKey(readFileSync(descriptor, "latin1"), file);
  } finally {
    closeSync(descriptor);
  }
}

function parseKey(text: string, file: string): Uint8Array {
  const line = text.trim();
  const key = new Uint8Array(Buffer.from(line, "base64"));
  if (key.length !== keyBytes || Buffer.from(key).toString("base64") !== line) {
    throw new TidegateError("KEY_DAMAGED", { file, reason: "it is not 32 bytes in base64" });
  }
  if (key.every((byte) => byte === key[0])) {
    throw new TidegateError("KEY_DAMAGED", { file, reason: "every byte of it is the same" });
  }
  return key;
}

/**
 * Writes a key that is not there yet, durably, with mode 0600. Returns false, and changes nothing, when a file of this
 * name exists.
 */
export function writeKeyFile(file: string, key: Uint8Array): boolean {
  const draft = join(dirname(file), `.${randomBytes(6).toString("hex")}.new`);
  const descriptor = openSync(draft, "wx", 0o600);
  try {
    writeFileSync(descriptor, `${Buffer.from(key).toString("base64")}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  try {
    // A link never replaces: of two that make keys at the same moment, one wins and both then read the same key.
    linkSync(draft, file);
    return true;
  } catch (cause) {
    if (errnoOf(cause) === "EEXIST") return false;
    throw cause;
  } finally {
    unlinkSync(draft);
    syncDirectory(dirname(file));
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(dir: string): void {
  const descriptor = openSync(dir, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
