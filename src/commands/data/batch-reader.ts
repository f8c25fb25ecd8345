import { readFileSync, statSync } from "node:fs";
import nacl from "tweetnacl";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { type KeyFileRule, readKeyFile } from "../../crypto/key-file.ts";
import { findKey } from "../../crypto/key-ring.ts";
import { formerBoxes } from "../../crypto/key-rotation.ts";
import { fingerprint } from "../../crypto/signing.ts";
import type { BatchReader } from "../../wire/batch.ts";
import { givenPlace } from "../keys/passphrase.ts";
import { loadFor } from "../load-configuration.ts";
import { type Io, OptionFault } from "../verb.ts";

/** Brokers carry less than this in one message. */
const maxBatchBytes = 64 * 2 ** 20;

export type KeyChoice = {
  readonly config?: string;
  readonly key?: string;
  readonly dir?: string;
  readonly signer?: string;
};

/**
 * The reader of batches with the data key that is named: a file, a sink's data directory, else the configuration's own.
 * @throws TidegateError KEYS_ABSENT, KEY_UNREADABLE, KEY_DAMAGED
 */
export function batchReader(io: Io, choice: KeyChoice): BatchReader {
  const secretKey = dataKey(io, choice);
  const publicKey = nacl.scalarMult.base(secretKey);
  // A folder may also hold the keys before the one in use.
  const former = choice.key === undefined ? formerBoxes({ dataDir: dirOf(io, choice) }) : [];
  const wanted = choice.signer === undefined ? null : signerPrint(choice.signer);
  return {
    secretKeys: [{ publicKey, secretKey }, ...former],
    isTrusted: ({ signer }) => wanted === null || fingerprint(signer) === wanted,
  };
}

function dataKey(io: Io, choice: KeyChoice): Uint8Array {
  if (choice.key !== undefined) {
    const key = readKeyFile(choice.key, ruleOf(choice.key));
    if (key) return key;
    throw new TidegateError("KEYS_ABSENT", { file: choice.key });
  }
  const dataDir = dirOf(io, choice);
  const { key, file } = findKey(givenPlace(io, dataDir), "box");
  if (key) return key;
  throw new TidegateError("KEYS_ABSENT", { file });
}

const dirOf = (io: Io, choice: KeyChoice): string => choice.dir ?? loadFor(io, choice).config.gateway.dataDir;

/** Whoever names a file vouches for its owner; that others can read it is a mistake all the same. */
const ruleOf = (file: string): KeyFileRule => {
  const owner = statSync(file, { throwIfNoEntry: false })?.uid;
  return { owners: owner === undefined ? [] : [owner], forbiddenMode: 0o077 };
};

/** A fingerprint as it is, or that of a public key in base64. */
function signerPrint(text: string): string {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  const key = Buffer.from(text, "base64");
  if (key.length === 32) return fingerprint(key);
  throw new OptionFault("--signer", text, "a fingerprint or a public key as `tidegate keys show` prints them");
}

/**
 * The bytes of a batch.
 * @param file  `-`: standard input
 * @throws TidegateError FILE_UNREADABLE
 */
export function readBatchFile(file: string): Uint8Array {
  try {
    if (file === "-") return readFileSync(0);
    const { size } = statSync(file);
    if (size > maxBatchBytes) throw new Error(`it has ${size} bytes: no batch is as large`);
    return readFileSync(file);
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}
