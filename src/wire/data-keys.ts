import { TidegateError } from "../base/errors.ts";
import type { Envelope } from "../crypto/envelope.ts";
import { keyBytes } from "../crypto/sealing.ts";
import { openDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";

/** The sink's public keys as they are announced to a fleet: the first one is in use, the others still open. */
export type DataKeys = { readonly version: number; readonly keys: readonly Uint8Array[] };

const kind = "data-keys";
/** Keys in one announcement: the one in use, and those before it. */
export const maxDataKeys = 8;

/** The retained document on `keys/data`. */
export const signDataKeys = (fleet: string, { version, keys }: DataKeys, signers: readonly Signer[]): Envelope =>
  signDocument(
    { kind, audience: fleet, version, keys: keys.map((key) => Buffer.from(key).toString("base64")) },
    signers,
  );

/**
 * Opens the announcement of a sink's keys.
 *
 * @param trusted  who may announce keys to this fleet; raw Ed25519 public keys
 * @param minVersion  the newest version seen so far: an older announcement is refused, or an old, lost key could come back
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING
 */
export function openDataKeys(
  envelope: Uint8Array,
  { fleet, trusted, minVersion }: { fleet: string; trusted: readonly Uint8Array[]; minVersion: number },
): DataKeys {
  const { document } = openDocument(envelope, { kind, audience: fleet, trusted });
  const { version } = document;
  if (version < minVersion) {
    throw new TidegateError("SIGNATURE_MISSING", {
      what: kind,
      reason: `version ${version} is older than ${minVersion}`,
    });
  }
  const texts: unknown = document.keys;
  if (!Array.isArray(texts) || texts.length === 0 || texts.length > maxDataKeys) throw invalid();
  const keys = texts.map((text: unknown) => {
    const key = typeof text === "string" ? new Uint8Array(Buffer.from(text, "base64")) : null;
    if (key?.length !== keyBytes) throw invalid();
    return key;
  });
  return { version, keys };
}

const invalid = () => new TidegateError("ENVELOPE_INVALID", { reason: "it has no usable keys" });
