import { reasonOf } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Signer } from "../../crypto/signing.ts";
import { Backoff } from "../../wire/backoff.ts";
import { cutUpdate } from "../update-parts.ts";
import type { UpdateReceipt } from "../update-receipt.ts";

export type DeliveryPort = {
  readonly fleet: string;
  readonly gateway: string;
  /** Bytes of one message on the broker. */
  readonly maxPayload: number;
  readonly signer: Signer;
  readonly random: Random;
  readonly log: Log;
  /** Resolves once the broker has it. */
  publish(model: string, round: number, part: Uint8Array): Promise<unknown>;
  /** How long to wait for a receipt, ms: at first, and at most. */
  readonly receiptMs: { readonly first: number; readonly most: number };
};

export type Parcel = {
  readonly model: string;
  readonly round: number;
  readonly bytes: Uint8Array;
  /** Public key that parts are sealed for now, raw [32]. */
  box(): Uint8Array;
  /** Waits for a receipt about it; null: none came in time. */
  receipt(timeoutMs: number): Promise<UpdateReceipt | null>;
  /** Whether it is of no use to go on after so many tries without any word. */
  isHopeless(tries: number): boolean;
  readonly signal: AbortSignal;
};

/** Parts that the broker has not confirmed yet. */
const window = 4;
/** The last part is always answered: it asks how things stand. So often, before all are sent again. */
const questionsPerRepeat = 3;

/**
 * Sends an update part by part until a receipt settles it: what is missing by the receipt's word, again with growing
 * pauses where no word comes.
 * @returns the receipt; null when it was given up or the signal ended it
 */
export async function deliver(parcel: Parcel, port: DeliveryPort): Promise<UpdateReceipt | null> {
  const { model, round, bytes, signal } = parcel;
  const { fleet, gateway, maxPayload, signer, random, log, receiptMs } = port;
  const about = { fleet, gateway, model, round, maxPayload, signer };
  const pause = new Backoff({ baseMs: receiptMs.first, maxMs: receiptMs.most }, random);
  const all = () => Array.from({ length: cutUpdate(bytes, { ...about, box: parcel.box() }).of }, (_, n) => n);
  let missing = all();
  for (let tries = 0; !signal.aborted && !parcel.isHopeless(tries); ) {
    const cut = cutUpdate(bytes, { ...about, box: parcel.box() });
    try {
      for (let at = 0; at < missing.length && !signal.aborted; at += window)
        await Promise.all(missing.slice(at, at + window).map((n) => port.publish(model, round, cut.part(n))));
    } catch (thrown) {
      log.info({ model, round, reason: reasonOf(thrown) }, "parts of an update did not get out");
    }
    const receipt = await parcel.receipt(receiptMs.first + pause.next());
    if (receipt && receipt.status !== "partial") return receipt;
    if (receipt) {
      tries = 0;
      missing = (receipt.missing ?? []).filter((n) => n < cut.of);
      // It could not be stored: nothing of it is there any more.
      if (missing.length === 0) missing = all();
      if (receipt.reason === "busy") await sleep(receiptMs.first + pause.next(), signal);
      else pause.succeeded();
      continue;
    }
    tries++;
    missing = tries % (questionsPerRepeat + 1) === 0 ? all() : [cut.of - 1];
  }
  return null;
}
