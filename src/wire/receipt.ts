import { createHmac, timingSafeEqual } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { isIdText } from "./batch-head.ts";

/**
 * The sink's word that it has stored everything from `from` to `upTo` (both included) durably. Cumulative: it covers
 * all that the sink has without a gap, not the last batch alone.
 */
export type Receipt = {
  readonly incarnation: string;
  /** `alarm`, `rest` or `raw/{stream}`. */
  readonly lane: string;
  readonly from: number;
  readonly upTo: number;
  /** `receiptProof` with the token of the batch that it answers. */
  readonly proof: string;
};

const maxReceiptBytes = 1_024;

/**
 * Shows that whoever sends a receipt has opened the batch it answers: nobody on the broker can make a gateway forget
 * what it owes.
 * @param token  from inside the batch's box
 */
export function receiptProof(token: Uint8Array, receipt: Omit<Receipt, "proof">): string {
  const { incarnation, lane, from, upTo } = receipt;
  const text = ["tidegate/receipt/1", incarnation, lane, from, upTo].join("\n");
  return createHmac("sha256", token).update(text).digest("hex");
}

/** Whether a receipt was made by one that opened the batch with this token. */
export function isProven(receipt: Receipt, token: Uint8Array): boolean {
  const expected = Buffer.from(receiptProof(token, receipt), "hex");
  const actual = Buffer.from(receipt.proof, "hex");
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

export const renderReceipt = (receipt: Receipt): string => JSON.stringify(receipt);

/** @throws TidegateError RECEIPT_INVALID */
export function parseReceipt(payload: Uint8Array): Receipt {
  if (payload.length > maxReceiptBytes) throw invalid(`it has ${payload.length} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload).toString("utf8"));
  } catch (cause) {
    throw invalid("it is not JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw invalid("it is not an object");
  const { incarnation, lane, from, upTo, proof } = value as Partial<Record<keyof Receipt, unknown>>;
  if (!isIdText(incarnation)) throw invalid("incarnation is missing or wrong");
  if (typeof lane !== "string" || !/^(alarm|rest|raw\/[\w-]{1,64})$/.test(lane)) throw invalid("lane is wrong");
  if (
    typeof from !== "number" ||
    typeof upTo !== "number" ||
    !Number.isSafeInteger(from) ||
    !Number.isSafeInteger(upTo)
  ) {
    throw invalid("from or upTo is not a whole number");
  }
  if (from < 0 || upTo < from) throw invalid("upTo is below from");
  if (typeof proof !== "string" || !/^[0-9a-f]{64}$/.test(proof)) throw invalid("proof is missing or wrong");
  return { incarnation, lane, from, upTo, proof };
}

const invalid = (reason: string, cause?: unknown) => new TidegateError("RECEIPT_INVALID", { reason }, { cause });
