import { hkdfSync, randomBytes } from "node:crypto";
import nacl from "tweetnacl";
import { TidegateError } from "../base/errors.ts";

export const keyBytes = 32;
const nonceBytes = nacl.secretbox.nonceLength;

/** Bytes that sealing adds to a text: the nonce that stands before it and the authenticator. */
export const sealOverhead = nonceBytes + nacl.secretbox.overheadLength;

/**
 * Seals with XSalsa20-Poly1305 under a random nonce: nonce [24] | box [length + 16].
 * There is no associated data: what a sealed text stands for must be part of how `key` was derived.
 */
export function seal(plain: Uint8Array, key: Uint8Array): Uint8Array {
  // Random, never counted: a counter would repeat after a restore from a backup.
  const nonce = randomBytes(nonceBytes);
  const box = nacl.secretbox(plain, nonce, key);
  const sealed = new Uint8Array(nonceBytes + box.length);
  sealed.set(nonce);
  sealed.set(box, nonceBytes);
  return sealed;
}

/** The inverse of `seal`; null when the key is another one or a bit was changed. */
export function open(sealed: Uint8Array, key: Uint8Array): Uint8Array | null {
  if (sealed.length < sealOverhead) return null;
  return nacl.secretbox.open(sealed.subarray(nonceBytes), sealed.subarray(0, nonceBytes), key);
}

/** HKDF-SHA-256 (RFC 5869) without salt: one key for each purpose out of one secret. */
export function deriveKey(secret: Uint8Array, purpose: string, length = keyBytes): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), purpose, length));
}

/** A box that only the holder of a private key opens, and not even its sender. */
export type SealedBox = { ephemeral: Uint8Array; nonce: Uint8Array; box: Uint8Array };

/**
 * Seals to a public key (X25519) from a key pair that is thrown away: what was sent cannot be opened with anything
 * that stays on the sender.
 */
export function sealTo(plain: Uint8Array, publicKey: Uint8Array): SealedBox {
  const { publicKey: ephemeral, secretKey } = nacl.box.keyPair();
  const nonce = randomBytes(nacl.box.nonceLength);
  const shared = agree(publicKey, secretKey);
  const box = nacl.box.after(plain, nonce, shared);
  secretKey.fill(0);
  return { ephemeral, nonce, box };
}

/** Opens what `sealTo` made for this secret key; null when it was made for another or was changed. */
export function openFrom({ ephemeral, nonce, box }: SealedBox, secretKey: Uint8Array): Uint8Array | null {
  if (ephemeral.length !== keyBytes || nonce.length !== nacl.box.nonceLength) return null;
  return nacl.box.open.after(box, nonce, agree(ephemeral, secretKey));
}

function agree(publicKey: Uint8Array, secretKey: Uint8Array): Uint8Array {
  const zero = new Uint8Array(keyBytes);
  // A point of small order gives the same shared secret to everybody.
  if (nacl.verify(nacl.scalarMult(secretKey, publicKey), zero)) {
    throw new TidegateError("KEY_WEAK", { what: "a public box key" });
  }
  return nacl.box.before(publicKey, secretKey);
}
