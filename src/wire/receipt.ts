import { createHmac, timingSafeEqual } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { type BatchLane, isIdText, isLane } from "./batch-head.ts";

/**
 * The sink's word that it has stored what came of this stream in this lane up to and with `upTo`, durably. Cumulative:
 * a batch is sent when the one before it has its receipt, so none of those before is outstanding.
 */
export type Receipt = {
  readonly incarnation: string;
  readonly lane: BatchLane;
  readonly stream: string;
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
  const { incarnation, lane, stream, upTo } = receipt;
  const text = ["tidegate/receipt/1", incarnation, lane, stream, upTo].join("\n");
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
  const { incarnation, lane, stream, upTo, proof } = value as Partial<Record<keyof Receipt, unknown>>;
  if (!isIdText(incarnation)) throw invalid("incarnation is missing or wrong");
  if (!isIdText(stream)) throw invalid("stream is missing or wrong");
  if (!isLane(lane)) throw invalid("lane is missing or wrong");
  if (typeof upTo !== "number" || !Number.isSafeInteger(upTo) || upTo < 0) throw invalid("upTo is missing or wrong");
  if (typeof proof !== "string" || !/^[0-9a-f]{64}$/.test(proof)) throw invalid("proof is missing or wrong");
  return { incarnation, lane, stream, upTo, proof };
}

const invalid = (reason: string, cause?: unknown) => new TidegateError("RECEIPT_INVALID", { reason }, { cause });
