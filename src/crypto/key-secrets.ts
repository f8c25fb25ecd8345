import { randomBytes } from "node:crypto";
import nacl from "tweetnacl";
import { deriveKey, keyBytes } from "./sealing.ts";
import { fingerprint, signerOf } from "./signing.ts";

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

/** Keys with what they were before: box keys that still open what was sealed to them, newest first. */
export type KeptSecrets = KeySecrets & { readonly formerBoxes: readonly Uint8Array[] };

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
