import type { KeptErasure } from "../buffer/erasure.ts";
import type { Envelope } from "../crypto/envelope.ts";
import type { SinkEraseReceipt } from "../wire/erase-receipt.ts";
import type { ErasureReceipt } from "./erasures.ts";

/** An erasure with what is kept of it: this gateway's signed receipt and the sink's, opened and as they were signed. */
export type ToldErasure = {
  readonly number: number;
  /** Null: it is under way. */
  readonly receipt: ErasureReceipt | null;
  readonly envelope: Envelope | null;
  /** Null: the sink has not confirmed it, or is not told. */
  readonly sinkReceipt: SinkEraseReceipt | null;
  readonly sinkEnvelope: Envelope | null;
};

/** The kept bytes as they are printed. They were checked before they were kept, and sealed since. */
export function toldErasure({ number, receipt, sinkReceipt }: KeptErasure): ToldErasure {
  const [envelope, sinkEnvelope] = [receipt, sinkReceipt].map(
    (bytes) => bytes && (JSON.parse(Buffer.from(bytes).toString("utf8")) as Envelope),
  );
  const opened = (from: Envelope | null | undefined): unknown =>
    from ? JSON.parse(Buffer.from(from.payload, "base64").toString("utf8")) : null;
  return {
    number,
    receipt: opened(envelope) as ErasureReceipt | null,
    envelope: envelope ?? null,
    sinkReceipt: opened(sinkEnvelope) as SinkEraseReceipt | null,
    sinkEnvelope: sinkEnvelope ?? null,
  };
}

/** What became of what had been sent, in words. */
export function renderSent({ receipt, sinkReceipt }: Pick<ToldErasure, "receipt" | "sinkReceipt">): string {
  if (sinkReceipt)
    return `told to the sink, confirmed at ${sinkReceipt.issuedAt}: ${sinkReceipt.lines} lines taken out there`;
  if (receipt?.isForwarded) return "the sink is told; not confirmed yet";
  return "the sink is not told";
}
