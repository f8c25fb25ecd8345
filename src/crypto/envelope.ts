import { reasonOf, TidegateError } from "../base/errors.ts";
import { fingerprint, isSignedBy, type Signer } from "./signing.ts";
import { parseStrictJson } from "./strict-json.ts";

/**
 * A signed document as JSON (DSSE, "Dead Simple Signing Envelope" 1.0): the signatures cover the payload's bytes and
 * its type, so a document never passes for one of another kind.
 */
export type Envelope = {
  readonly payloadType: string;
  /** base64 of the signed bytes. */
  readonly payload: string;
  /** `keyid` is a hint, nothing more: it is not signed. */
  readonly signatures: readonly { readonly keyid?: string; readonly sig: string }[];
};

export type TrustPolicy = {
  /** The one kind of document that is expected. */
  readonly payloadType: string;
  /** Raw Ed25519 public keys; one that is listed twice counts once. */
  readonly trusted: readonly Uint8Array[];
  /** How many different trusted keys must have signed; 1 unless given. */
  readonly threshold?: number;
  readonly maxBytes?: number;
};

const defaultMaxBytes = 256 * 1024;
const maxSignatures = 16;
/** Checking a signature costs 0.1 ms: a stranger's envelope gets no more of them than this. */
const maxChecks = 64;

/** What is signed (DSSE's pre-authentication encoding): type and payload with their lengths in front. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = Buffer.from(payloadType, "utf8");
  const head = `DSSEv1 ${type.length} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head, "utf8"), payload]);
}

/** Signs a document with every signer. */
export function signEnvelope(payloadType: string, payload: Uint8Array, signers: readonly Signer[]): Envelope {
  const signed = preAuthEncoding(payloadType, payload);
  return {
    payloadType,
    payload: Buffer.from(payload).toString("base64"),
    signatures: signers.map((signer) => ({
      keyid: signer.keyId,
      sig: Buffer.from(signer.sign(signed)).toString("base64"),
    })),
  };
}

/**
 * Opens an envelope that enough trusted keys have signed.
 *
 * @param envelope  JSON, as it came off the wire
 * @returns the signed bytes and the fingerprints of the trusted keys that signed them
 * @throws TidegateError ENVELOPE_INVALID (malformed), SIGNATURE_MISSING (`facts.refusal`: wrong-kind, unknown-key,
 *   too-few-signatures)
 */
export function openEnvelope(
  envelope: string | Uint8Array,
  { payloadType, trusted, threshold = 1, maxBytes = defaultMaxBytes }: TrustPolicy,
): { payload: Uint8Array; signedBy: string[] } {
  if (threshold < 1) throw new TidegateError("BUG", { detail: "an envelope with a threshold below one" });
  if (envelope.length > maxBytes) throw invalid(`it has ${envelope.length} bytes`);
  const parsed = parseEnvelope(typeof envelope === "string" ? envelope : Buffer.from(envelope).toString("utf8"));
  if (parsed.payloadType !== payloadType) {
    const facts = { what: payloadType, reason: "it is another kind of document", refusal: "wrong-kind" };
    throw new TidegateError("SIGNATURE_MISSING", facts);
  }
  const payload = decodeBase64(parsed.payload);
  const signed = preAuthEncoding(payloadType, payload);
  const signatures = parsed.signatures.map(({ keyid, sig }) => ({ keyid, sig: decodeBase64(sig) }));
  const keys = new Map(trusted.map((key) => [fingerprint(key), key]));
  let checks = 0;
  // Counted by key, not by signature: two signatures of one key are one voice.
  const signedBy = [...keys].filter(([name, key]) =>
    signatures.some(({ keyid, sig }) => {
      if (keyid !== undefined && keyid !== name) return false;
      return ++checks <= maxChecks && isSignedBy(key, signed, sig);
    }),
  );
  if (signedBy.length < threshold) {
    const reason = `${signedBy.length} of ${threshold} trusted signatures`;
    const refusal = signedBy.length === 0 ? "unknown-key" : "too-few-signatures";
    throw new TidegateError("SIGNATURE_MISSING", { what: payloadType, reason, refusal });
  }
  return { payload, signedBy: signedBy.map(([name]) => name) };
}

const invalid = (reason: string, cause?: unknown) => new TidegateError("ENVELOPE_INVALID", { reason }, { cause });

function parseEnvelope(text: string): Envelope {
  let value: unknown;
  try {
    value = parseStrictJson(text, 4);
  } catch (cause) {
    throw invalid(`it is not JSON: ${reasonOf(cause)}`, cause);
  }
  if (!isRecord(value)) throw invalid("it is not an object");
  const { payloadType, payload, signatures } = value;
  if (typeof payloadType !== "string" || typeof payload !== "string" || !Array.isArray(signatures)) {
    throw invalid("payloadType, payload or signatures are missing");
  }
  if (signatures.length > maxSignatures) throw invalid(`it has ${signatures.length} signatures`);
  return {
    payloadType,
    payload,
    signatures: signatures.map((entry: unknown) => {
      if (!isRecord(entry) || typeof entry.sig !== "string") throw invalid("a signature has no sig");
      return typeof entry.keyid === "string" && entry.keyid !== ""
        ? { keyid: entry.keyid, sig: entry.sig }
        : { sig: entry.sig };
    }),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Both alphabets, as DSSE asks of a reader; anything beside them is refused rather than skipped. */
function decodeBase64(text: string): Uint8Array {
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text) || text.replace(/=+$/, "").length % 4 === 1)
    throw invalid("a part is not base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}
