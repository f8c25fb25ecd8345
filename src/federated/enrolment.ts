import { createHmac, hash, timingSafeEqual } from "node:crypto";
import * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import { type OpenedDocument, openDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";

const kind = "enrolment";
const answerKind = "enrolment-receipt";
/** What an enrolment is called in topics: `gateways/{g}/receipts/enrolment`. */
export const enrolmentReceiptName = kind;

const claimSchema = z.object({
  subject: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  /** The gateway's own Ed25519 public key, base64: the request is signed with it. */
  key: z.base64().refine((text) => Buffer.from(text, "base64").length === 32, "must be 32 bytes in base64"),
  /** Shows that the token is known; absent: an operator is asked. */
  proof: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
});

const answerSchema = z.object({
  key: z.string(),
  status: z.enum(["enrolled", "waiting", "refused"]),
  reason: z.string().max(64).optional(),
});

/** `waiting`: an operator has to say yes (`tidegate fleet enroll GATEWAY`). */
export type EnrolmentAnswer = Pick<z.output<typeof answerSchema>, "status" | "reason">;

/** A gateway that asks to be taken in: whoever signed has this key. */
export type EnrolmentClaim = { readonly gateway: string; readonly key: Uint8Array; readonly proof: string | null };

/** What a coordinator keeps of a token; neither it nor the token is ever on the wire. */
export const tokenHash = (token: string): string => hash("sha256", token, "hex");

const proofOf = (ofToken: string, fleet: string, gateway: string, key: string): string =>
  createHmac("sha256", Buffer.from(ofToken, "hex"))
    .update(["tidegate/enrolment/1", fleet, gateway, key].join("\n"))
    .digest("hex");

const base64 = (key: Uint8Array): string => Buffer.from(key).toString("base64");

/**
 * A gateway's request to be taken in, for `gateways/{gateway}/enrolment`: signed with the key that it is to be known by.
 * @param token  as `tidegate fleet enroll --token` printed it; absent: an operator is asked
 */
export function signEnrolment(fleet: string, gateway: string, signer: Signer, token?: string): string {
  const key = base64(signer.publicKey);
  const proof = token === undefined ? {} : { proof: proofOf(tokenHash(token), fleet, gateway, key) };
  return JSON.stringify(signDocument({ kind, audience: fleet, version: 1, subject: gateway, key, ...proof }, [signer]));
}

/**
 * Opens a request: it is signed with the key that it names. Whether that key may be taken in is another question.
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING
 */
export function openEnrolment(envelope: Uint8Array, fleet: string): EnrolmentClaim {
  const { subject, key, proof } = claimSchema.parse(unverified(envelope));
  const trusted = [new Uint8Array(Buffer.from(key, "base64"))];
  const { document } = openDocument(envelope, { kind, audience: fleet, trusted });
  if (document.subject !== subject) throw invalid("it is about another gateway");
  return { gateway: subject, key: trusted[0] as Uint8Array, proof: proof ?? null };
}

/** What a request says before its signature can be checked: the key to check it with is in it. */
function unverified(envelope: Uint8Array): unknown {
  try {
    const { payload } = JSON.parse(Buffer.from(envelope.subarray(0, 8_192)).toString("utf8")) as { payload: string };
    const parsed = claimSchema.safeParse(JSON.parse(Buffer.from(payload, "base64").toString("utf8")));
    if (parsed.success) return parsed.data;
  } catch {
    // Said below.
  }
  throw invalid("it is no request to be taken in");
}

const invalid = (reason: string) => new TidegateError("ENVELOPE_INVALID", { reason });

/** Whether a claim was made by one that knows the token with this hash. */
export function isProvenBy(claim: EnrolmentClaim, fleet: string, ofToken: string): boolean {
  if (claim.proof === null) return false;
  const expected = Buffer.from(proofOf(ofToken, fleet, claim.gateway, base64(claim.key)), "hex");
  const actual = Buffer.from(claim.proof, "hex");
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

/** The coordinator's answer to a request, for the gateway that asked with this key. */
export const signEnrolmentAnswer = (
  fleet: string,
  { gateway, key }: EnrolmentClaim,
  answer: EnrolmentAnswer,
  signer: Signer,
): string =>
  JSON.stringify(
    signDocument({ kind: answerKind, audience: `${fleet}/${gateway}`, version: 1, key: base64(key), ...answer }, [
      signer,
    ]),
  );

/** Opens the answer to the request that this key made. @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING */
export function openEnrolmentAnswer(
  envelope: Uint8Array,
  about: { fleet: string; gateway: string; key: Uint8Array; trusted: readonly Uint8Array[] },
): EnrolmentAnswer {
  const { fleet, gateway, key, trusted } = about;
  const { document }: { document: OpenedDocument } = openDocument(envelope, {
    ...{ kind: answerKind, audience: `${fleet}/${gateway}`, trusted },
  });
  const parsed = answerSchema.safeParse(document);
  if (!parsed.success || parsed.data.key !== base64(key)) throw invalid("it answers no request of this gateway");
  const { status, reason } = parsed.data;
  return { status, ...(reason === undefined ? {} : { reason }) };
}
