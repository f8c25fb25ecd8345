import { TidegateError } from "../base/errors.ts";
import { type Batch, type BatchReader, decodeBatch } from "../wire/batch.ts";
import { numbersOf } from "../wire/batch-head.ts";
import { fleetTopics, parseGatewayTopic } from "../wire/topics.ts";
import type { Received } from "./received.ts";
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
  if (fleetTopics(fleet).gateway(gateway).data(stream) !== topic) {
    throw new TidegateError("BATCH_INVALID", { reason: `it came on ${topic}, which is not its own topic` });
  }
  return batch;
}

/** Whose topic it is, for counters and logs: nothing that is in a batch is believed before it is opened. */
export function senderOf(topic: string): string {
  const fleet = topic.split("/")[2] ?? "";
  const gateway = parseGatewayTopic(fleet, topic)?.gateway;
  return gateway === undefined ? "?" : `${fleet}/${gateway}`;
}

/** The lines of a batch that have not been received, ready to go out; null when none is left. */
export function newLines({ head, lines }: Batch, received: Received): Delivery | null {
  const numbers = numbersOf(head);
  const missing = received.missing(head);
  if (missing.length === 0) return null;
  return { head, lines: missing.map((i) => renderLine(head, numbers[i] ?? head.n, lines[i] ?? "")) };
}
