import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Envelope, openEnvelope, signEnvelope, type TrustPolicy } from "./envelope.ts";
import type { Signer } from "./signing.ts";
import { parseStrictJson } from "./strict-json.ts";

/**
 * What every signed document says of itself. It is identified by kind, audience, subject and version, never by its
 * signature or its hash; what it says under one version never changes.
 */
export type SignedDocument = {
  readonly kind: string;
  /** Whom it is for: a fleet, or `fleet/gateway`. */
  readonly audience: string;
  /** Grows with every issue of this kind, audience and subject; a reader keeps the highest it has seen. */
  readonly version: number;
  /** By the signer's clock, ISO 8601. */
  readonly issuedAt?: string;
  /** ISO 8601: not to be followed from then on. */
  readonly expires?: string;
  /** What it is about, where a kind has several: a model, a stream, the signer of a command. */
  readonly subject?: string;
  /** The reader's own random challenge (hex): shows that it was signed after the reader gave it out. */
  readonly challenge?: string;
};

/** A document that was opened: what it says beyond its head is for the reader to check. */
export type OpenedDocument = SignedDocument & Readonly<Record<string, unknown>>;

/** A larger version would leave no room for those to come. */
export const maxVersion = 2 ** 52;

/** The payload type that admits documents of one kind. */
export const payloadTypeOf = (kind: string): string => `application/vnd.tidegate.${kind}+json`;

export const signDocument = <T extends SignedDocument>(document: T, signers: readonly Signer[]): Envelope =>
  signEnvelope(payloadTypeOf(document.kind), Buffer.from(JSON.stringify(document)), signers);

/**
 * Opens a signed document of one kind that is meant for this reader. Fields beyond `SignedDocument` are for the caller
 * to check.
 * @param expected.audience  this reader: `fleet/gateway`; several when it is also of a fleet
 * @returns the document, the fingerprints of the trusted keys that signed it, and the signed bytes
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING (`facts.refusal`: wrong-kind, wrong-audience, unknown-key,
 *   too-few-signatures)
 */
export function openDocument(
  envelope: string | Uint8Array,
  expected: { readonly kind: string; readonly audience: string | readonly string[] } & Omit<TrustPolicy, "payloadType">,
): { document: OpenedDocument; signedBy: string[]; payload: Uint8Array } {
  const { payload, signedBy } = openEnvelope(envelope, { ...expected, payloadType: payloadTypeOf(expected.kind) });
  let document: unknown;
  try {
    document = parseStrictJson(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (cause) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: `its payload is not JSON: ${reasonOf(cause)}` }, { cause });
  }
  if (!isDocument(document) || document.kind !== expected.kind) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: `its payload is no document of kind ${expected.kind}` });
  }
  const { audience } = expected;
  if (!(typeof audience === "string" ? [audience] : audience).includes(document.audience)) {
    const facts = { what: expected.kind, reason: "it is meant for another reader", refusal: "wrong-audience" };
    throw new TidegateError("SIGNATURE_MISSING", facts);
  }
  return { document, signedBy, payload };
}

function isDocument(value: unknown): value is OpenedDocument {
  if (typeof value !== "object" || value === null) return false;
  const { kind, audience, version, issuedAt, expires, subject, challenge } = value as Partial<OpenedDocument>;
  return (
    typeof kind === "string" &&
    typeof audience === "string" &&
    Number.isSafeInteger(version) &&
    (version ?? -1) >= 0 &&
    (version ?? 0) <= maxVersion &&
    isAbsentOr(issuedAt, isTime) &&
    isAbsentOr(expires, isTime) &&
    isAbsentOr(subject, (text) => /^[A-Za-z0-9_.:-]{1,128}$/.test(text)) &&
    isAbsentOr(challenge, (text) => /^[0-9a-f]{32}$/.test(text))
  );
}

const isAbsentOr = (value: unknown, isRight: (text: string) => boolean): boolean =>
  value === undefined || (typeof value === "string" && isRight(value));

/** UTC with or without milliseconds: one way to write a time. */
const isTime = (text: string): boolean =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text) && Number.isFinite(Date.parse(text));
