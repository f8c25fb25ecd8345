import * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import { openDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import { maxParts } from "./update-parts.ts";

/**
 * Why an update was not taken, or not again; stable codes that gateways and scripts may rely on.
 *
 * | reason | |
 * | --- | --- |
 * | `removed` | the gateway is no member any more |
 * | `malformed` | update, header or body cannot be read |
 * | `other-base` | it was trained on another base than the round's |
 * | `other-round` | the round is none that is open, or was ever |
 * | `closed` | the round has ended |
 * | `not-selected` | the gateway is not among those that were drawn |
 * | `other-codec` | mode, codec or weight are not what the round fixes |
 * | `shape` | the vector has another length |
 * | `not-finite` | a number is NaN or infinite |
 * | `norm` | it is longer than the round's clip, or than the updates of the others by far |
 * | `too-large` | it has more bytes than an update of this round can have |
 * | `other-update` | another update of this gateway was accepted in this round |
 * | `busy` | with `partial`: there is no room or no disk for it now; keep it and send it again later |
 */
export const refusalReasons = [
  ...(["removed", "malformed", "other-base", "other-round", "closed", "not-selected", "other-codec"] as const),
  ...(["shape", "not-finite", "norm", "too-large", "other-update", "busy"] as const),
] as const;

export type RefusalReason = (typeof refusalReasons)[number];

const kind = "update-receipt";

const receiptSchema = z.object({
  version: z.int().positive(),
  model: z.string(),
  round: z.int().nonnegative(),
  /** The update that it answers: one that names another is not about this gateway's pending update. */
  update: z.string().regex(/^[0-9a-f]{64}$/),
  /**
   * `accepted`, `duplicate`: it counts, once: error feedback keeps p - C(p). `stale`, `rejected`: it does not count and
   * never will: the old residual comes back. `partial`: send what is `missing`; also when the coordinator has started anew.
   */
  status: z.enum(["accepted", "duplicate", "stale", "rejected", "partial"]),
  reason: z.enum(refusalReasons).optional(),
  missing: z.array(z.int().nonnegative().max(maxParts)).max(maxParts).optional(),
});

/** The coordinator's word on an update. Signed; `version` is the one of the round's document at that time. */
export type UpdateReceipt = z.output<typeof receiptSchema>;

/** What a receipt for `update-{model}` is called in topics: `gateways/{g}/receipts/update-{model}`. */
export const receiptName = (model: string): string => `update-${model}`;

export const signReceipt = (fleet: string, gateway: string, receipt: UpdateReceipt, signer: Signer): string =>
  JSON.stringify(signDocument({ kind, audience: `${fleet}/${gateway}`, ...receipt }, [signer]));

/**
 * Opens a receipt.
 * @param trusted  the keys that signed the round's document
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING, RECEIPT_INVALID
 */
export function openReceipt(
  envelope: Uint8Array,
  { fleet, gateway, trusted }: { fleet: string; gateway: string; trusted: readonly Uint8Array[] },
): UpdateReceipt {
  const { document } = openDocument(envelope, { kind, audience: `${fleet}/${gateway}`, trusted });
  const parsed = receiptSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new TidegateError("RECEIPT_INVALID", { reason: z.prettifyError(parsed.error).replaceAll("\n", " ") });
}
