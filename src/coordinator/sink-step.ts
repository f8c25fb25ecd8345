import { TidegateError } from "../base/errors.ts";
import { type Batch, type BatchReader, decodeBatch } from "../wire/batch.ts";
import { numbersOf } from "../wire/batch-head.ts";
import { parseEraseNotice } from "../wire/erase-notice.ts";
import { fleetTopics, parseGatewayTopic } from "../wire/topics.ts";
import type { Received } from "./received.ts";
import type { SinkErasures } from "./sink-erasures.ts";
import { type Delivery, renderLine } from "./sink-output.ts";

/** A message as it came from the broker. */
export type Incoming = { readonly topic: string; readonly payload: Uint8Array };

/**
 * Opens a batch and holds it against the topic it came on: a gateway may write under its own name only, and the
 * broker's access rules are the ones that see to it.
 * @throws TidegateError BATCH_INVALID, BATCH_UNTRUSTED, BATCH_SEALED, KEY_WEAK
 */
export async function openIncoming({ topic, payload }: Incoming, reader: BatchReader): Promise<Batch> {
  const batch = await decodeBatch(payload, reader);
  const { fleet, gateway, stream } = batch.head;
  const topics = fleetTopics(fleet).gateway(gateway);
  if ((batch.head.kind === "erase" ? topics.erasure(stream) : topics.data(stream)) !== topic) {
    throw new TidegateError("BATCH_INVALID", { reason: `it came on ${topic}, which is not its own topic` });
  }
  if (batch.head.kind === "erase") for (const line of batch.lines) parseEraseNotice(line);
  return batch;
}

/** Whose topic it is, for counters and logs: nothing that is in a batch is believed before it is opened. */
export function senderOf(topic: string): string {
  const fleet = topic.split("/")[2] ?? "";
  const gateway = parseGatewayTopic(fleet, topic)?.gateway;
  return gateway === undefined ? "?" : `${fleet}/${gateway}`;
}

/** The lines of a batch that have not been received, nor erased before they came, ready to go out; null: it is a repeat. */
export function newLines({ head, lines }: Batch, received: Received, erasures: SinkErasures): Delivery | null {
  const numbers = numbersOf(head);
  const missing = received.missing(head);
  if (missing.length === 0) return null;
  if (head.kind === "erase") return { head, lines: [] };
  const numberOf = (i: number) => numbers[i] ?? head.n;
  const kept = missing.filter((i) => !erasures.isErased(head, numberOf(i), lines[i] ?? "", received));
  return { head, lines: kept.map((i) => renderLine(head, numberOf(i), lines[i] ?? "")) };
}
