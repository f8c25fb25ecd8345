import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { keyBytes } from "./sealing.ts";

export const signatureBytes = 64;

// The fixed DER heads of Ed25519 keys (RFC 8410): node:crypto takes raw keys in no other form.
const privateHead = Buffer.from("302e020100300506032b657004220420", "hex");
const publicHead = Buffer.from("302a300506032b6570032100", "hex");

/** What signs: an Ed25519 key whose secret half stays inside. */
export type Signer = {
  /** Raw public key [32]. */
  readonly publicKey: Uint8Array;
  /** `fingerprint(publicKey)`. */
  readonly keyId: string;
  /** The signature [64] of `message`. */
  sign(message: Uint8Array): Uint8Array;
};

/** Names a public key: the first 128 bits of its SHA-256, as 32 hexadecimal digits. */
export const fingerprint = (publicKey: Uint8Array): string => hash("sha256", publicKey, "hex").slice(0, 32);

/**
 * The signer of a seed.
 * @param seed  32 secret bytes; not kept
 */
export function signerOf(seed: Uint8Array): Signer {
  if (seed.length !== keyBytes) throw new TidegateError("KEY_WEAK", { what: "a signing key" });
  const der = Buffer.concat([privateHead, seed]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  const publicKey = new Uint8Array(
    createPublicKey(key).export({ format: "der", type: "spki" }).subarray(publicHead.length),
  );
  return { publicKey, keyId: fingerprint(publicKey), sign: (message) => new Uint8Array(sign(null, message, key)) };
}

/** Parsed public keys: parsing costs as much as verifying, and a sink sees the same few thousand for ever. */
const parsed = new Map<string, KeyObject | null>();
const maxParsed = 4_096;

function parse(publicKey: Uint8Array): KeyObject | null {
  const name = Buffer.from(publicKey).toString("base64");
  const known = parsed.get(name);
  if (known !== undefined) return known;
  let key: KeyObject | null = null;
  try {
    key = createPublicKey({ key: Buffer.concat([publicHead, publicKey]), format: "der", type: "spki" });
  } catch {
    // Not a point: nothing verifies under it.
  }
  if (parsed.size >= maxParsed) parsed.clear();
  parsed.set(name, key);
  return key;
}

/**
 * Whether `signature` is this key's over `message`. False, never an error, for anything malformed; keys of small order
 * and signatures that were stretched by the group's order do not pass.
 */
export function isSignedBy(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== keyBytes || signature.length !== signatureBytes) return false;
  const key = parse(publicKey);
  return key !== null && verify(null, message, key, signature);
}
