import { randomBytes, scryptSync } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { fingerprintsOf, type KeptSecrets, type KeyName, keyNames } from "./key-secrets.ts";
import { keyBytes, open, seal } from "./sealing.ts";

/**
 * Cost of one guess at a passphrase: 64 MiB of memory, twice over (N 65,536, r 8, p 2): twice what OWASP asks for at
 * least, and what a gateway with 512 MB can still pay once at its start.
 */
export const passphraseCost = { N: 2 ** 16, r: 8, p: 2 } as const;
/** Sealed keys come from outside, too: they may not ask for more than this. */
const maxCost = { N: 2 ** 18, r: 16, p: 8 } as const;
const saltBytes = 16;
const minPassphrase = 8;
const maxBytes = 16_384;
/** Box keys before the one in use that are kept. */
export const maxFormerBoxes = 64;
const format = "tidegate-keys/1";

/** Keys under a passphrase: JSON, safe to keep where the passphrase is not. */
export type SealedKeys = {
  readonly format: typeof format;
  readonly scrypt: { readonly N: number; readonly r: number; readonly p: number; readonly salt: string };
  /** base64 of nonce [24] | secretbox of storage [32] | signing [32] | box [32] | former box keys [32 each]. */
  readonly sealed: string;
  readonly fingerprints: Readonly<Record<KeyName, string>>;
};

function passphraseKey(passphrase: string, salt: Uint8Array, { N, r, p }: { N: number; r: number; p: number }) {
  // The same letters typed on another keyboard may come as other code points.
  const key = scryptSync(passphrase.normalize("NFKC"), salt, keyBytes, { N, r, p, maxmem: 256 * N * r });
  return new Uint8Array(key);
}

/**
 * Seals keys under a passphrase (scrypt with a random salt, XSalsa20-Poly1305). The keys are random and only wrapped: so
 * a key is rotated, and a passphrase changed, without touching the data.
 * @returns JSON text
 * @throws TidegateError USAGE when the passphrase is too short
 */
export function sealKeys(secrets: KeptSecrets, passphrase: string): string {
  if ([...passphrase].length < minPassphrase) {
    throw new TidegateError("USAGE", { detail: `the passphrase must have ${minPassphrase} characters or more` });
  }
  const salt = randomBytes(saltBytes);
  const key = passphraseKey(passphrase, salt, passphraseCost);
  const former = secrets.formerBoxes.slice(0, maxFormerBoxes);
  const plain = Buffer.concat([...keyNames.map((name) => secrets[name]), ...former]);
  const sealed = seal(plain, key);
  plain.fill(0);
  key.fill(0);
  const document: SealedKeys = {
    format,
    scrypt: { ...passphraseCost, salt: salt.toString("base64") },
    sealed: Buffer.from(sealed).toString("base64"),
    fingerprints: fingerprintsOf(secrets),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/**
 * Opens what `sealKeys` made; null when the passphrase is another one, or the sealed part was changed.
 * @throws TidegateError BACKUP_UNREADABLE: it is none of ours, or asks for too much work
 */
export function openKeys(text: string, passphrase: string): KeptSecrets | null {
  const { scrypt: asked, sealed } = parseSealed(text);
  const key = passphraseKey(passphrase, Buffer.from(asked.salt, "base64"), asked);
  const plain = open(Buffer.from(sealed, "base64"), key);
  key.fill(0);
  if (plain === null || plain.length % keyBytes !== 0 || plain.length < keyNames.length * keyBytes) return null;
  const [storage, signing, box, ...formerBoxes] = Array.from({ length: plain.length / keyBytes }, (_, at) =>
    plain.slice(at * keyBytes, (at + 1) * keyBytes),
  );
  return storage && signing && box ? { storage, signing, box, formerBoxes } : null;
}

function parseSealed(text: string): SealedKeys {
  if (text.length > maxBytes) throw new TidegateError("BACKUP_UNREADABLE", { reason: "it is too large" });
  let document: Partial<SealedKeys> | null;
  try {
    document = JSON.parse(text) as Partial<SealedKeys> | null;
  } catch (cause) {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: "it is not JSON" }, { cause });
  }
  const asked = document?.scrypt;
  if (document?.format !== format || typeof document.sealed !== "string" || typeof asked?.salt !== "string") {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: `it is not of the format ${format}` });
  }
  const isBounded = (name: "N" | "r" | "p"): boolean =>
    Number.isInteger(asked[name]) && asked[name] >= 1 && asked[name] <= maxCost[name];
  const isPowerOfTwo = asked.N > 1 && Number.isInteger(Math.log2(asked.N));
  if (!isPowerOfTwo || !isBounded("N") || !isBounded("r") || !isBounded("p")) {
    throw new TidegateError("BACKUP_UNREADABLE", { reason: "its cost parameters are out of bounds" });
  }
  return document as SealedKeys;
}
