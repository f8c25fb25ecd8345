import { TidegateError } from "../base/errors.ts";
import type { Envelope } from "../crypto/envelope.ts";
import { openDocument, type SignedDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import { parseStrictJson } from "../crypto/strict-json.ts";
import { parseReceipt, type Receipt, renderReceipt } from "./receipt.ts";

const kind = "erase-receipt";
const maxBytes = 16 * 1024;

/** What a sink says when it has erased what a gateway asked it to: signed with its own key, so that it can be shown. */
export type SinkEraseReceipt = SignedDocument & {
  readonly kind: typeof kind;
  readonly subject: "sink";
  readonly issuedAt: string;
  /** The first number of the erasures that it answers; `version` is the last. */
  readonly first: number;
  /** Lines that were taken out of what the sink had written. */
  readonly lines: number;
  /** Ed25519 public key of the sink, base64. */
  readonly signer: string;
  /** As for every batch: its proof shows that the one who signs has opened the notice. */
  readonly receipt: Receipt;
};

/** The message on `receipts/erase`. */
export function signEraseReceipt(
  audience: string,
  said: Pick<SinkEraseReceipt, "first" | "lines" | "receipt" | "issuedAt">,
  signer: Signer,
): Envelope {
  const key = Buffer.from(signer.publicKey).toString("base64");
  const head = { kind, audience, version: said.receipt.upTo, subject: "sink" } as const;
  return signDocument({ ...head, signer: key, ...said } satisfies SinkEraseReceipt, [signer]);
}

/**
 * Opens a sink's receipt for an erasure. Whether its proof holds is for the uplink to say.
 * @param signer  the one key that may sign for the sink; null: the key that the receipt names, which the proof vouches for
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING, RECEIPT_INVALID
 */
export function openEraseReceipt(payload: Uint8Array, audience: string, signer: Uint8Array | null): SinkEraseReceipt {
  const trusted = [signer ?? claimedSigner(payload)];
  const { document } = openDocument(payload, { kind, audience, trusted, maxBytes });
  const { subject, first, lines, version, issuedAt } = document as Partial<SinkEraseReceipt> & { version: number };
  const receipt = parseReceipt(Buffer.from(JSON.stringify(document.receipt ?? null)));
  const isWhole = subject === "sink" && issuedAt !== undefined && isCount(lines) && isCount(first) && first <= version;
  if (!isWhole || receipt.lane !== "erase" || receipt.upTo !== version)
    throw new TidegateError("RECEIPT_INVALID", { reason: "it is no sink's receipt for an erasure" });
  return { ...document, receipt } as SinkEraseReceipt;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function claimedSigner(payload: Uint8Array): Uint8Array {
  try {
    if (payload.length > maxBytes) throw new Error("it is too large");
    const envelope = parseStrictJson(Buffer.from(payload).toString("utf8")) as { payload: string };
    const document = parseStrictJson(Buffer.from(envelope.payload, "base64").toString("utf8")) as { signer: string };
    return new Uint8Array(Buffer.from(document.signer, "base64"));
  } catch (cause) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: "it names no signer" }, { cause });
  }
}

/** The sink's receipt as the uplink takes it. */
export const receiptOf = ({ receipt }: SinkEraseReceipt): Uint8Array => Buffer.from(renderReceipt(receipt));
