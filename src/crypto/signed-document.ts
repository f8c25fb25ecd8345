import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Envelope, openEnvelope, signEnvelope, type TrustPolicy } from "./envelope.ts";
import type { Signer } from "./signing.ts";

/**
 * What every signed document says of itself. It is identified by these, never by its signature or its hash: the same
 * document signed again is the same document.
 */
export type SignedDocument = {
  readonly kind: string;
  /** Whom it is for: a fleet, or `fleet/gateway`. */
  readonly audience: string;
  /** Grows with every issue; a reader keeps the highest it has seen and takes none below. */
  readonly version: number;
};

/** The payload type that admits documents of one kind. */
export const payloadTypeOf = (kind: string): string => `application/vnd.tidegate.${kind}+json`;

export const signDocument = <T extends SignedDocument>(document: T, signers: readonly Signer[]): Envelope =>
  signEnvelope(payloadTypeOf(document.kind), Buffer.from(JSON.stringify(document)), signers);

/**
 * Opens a signed document of one kind that is meant for this reader. Fields beyond `SignedDocument` are for the caller
 * to check.
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING
 */
export function openDocument(
  envelope: string | Uint8Array,
  expected: { readonly kind: string; readonly audience: string } & Omit<TrustPolicy, "payloadType">,
): { document: SignedDocument & Record<string, unknown>; signedBy: string[] } {
  const { payload, signedBy } = openEnvelope(envelope, { ...expected, payloadType: payloadTypeOf(expected.kind) });
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch (cause) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: `its payload is not JSON: ${reasonOf(cause)}` }, { cause });
  }
  if (!isDocument(document) || document.kind !== expected.kind) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: `its payload is no document of kind ${expected.kind}` });
  }
  if (document.audience !== expected.audience) {
    throw new TidegateError("SIGNATURE_MISSING", { what: expected.kind, reason: "it is meant for another reader" });
  }
  return { document, signedBy };
}

function isDocument(value: unknown): value is SignedDocument & Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const { kind, audience, version } = value as Partial<SignedDocument>;
  return typeof kind === "string" && typeof audience === "string" && Number.isSafeInteger(version);
}
