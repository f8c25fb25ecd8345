import { type ErasableItem, type ErasureRequest, isErasedItem } from "../base/erasure-request.ts";
import { TidegateError } from "../base/errors.ts";
import type { KeptLetter } from "./commit.ts";

/** @throws TidegateError USAGE when it names nothing, or all and a part */
export function checkErasure({ all, ...parts }: ErasureRequest): void {
  const named = Object.values(parts).filter((part) => part !== undefined).length;
  if (all ? named === 0 : named > 0) return;
  throw new TidegateError("USAGE", { detail: "say what to erase: --stream, --source, --before, or --all alone" });
}

/** An erasure that has been begun: it goes on, whatever happens, until it is done. */
export type Erasure = {
  /** Counts the erasures of this data directory. */
  readonly number: number;
  /** When it was asked for, ms UTC by the gateway's clock. */
  readonly at: number;
  readonly request: ErasureRequest;
};

/** The highest numbers that were given out before an erasure began: what the sink has above them is not meant. */
export type ErasureReach = {
  readonly alarm: number;
  readonly rest: number;
  /** By stream, as readings are numbered on the way to the sink: from 1. */
  readonly raw: Readonly<Record<string, number>>;
};

/** What the sink is told of an erasure. */
export type ErasureNotice = Erasure & { readonly upTo: ErasureReach };

/** An erasure as it is remembered for good: by its receipt, and the sink's; null while there is none. */
export type KeptErasure = {
  readonly number: number;
  readonly receipt: Uint8Array | null;
  readonly sinkReceipt: Uint8Array | null;
};

/** What an erasure took. */
export type ErasureFacts = {
  readonly streams: number;
  readonly readings: number;
  readonly outbox: number;
  readonly deadLetters: number;
};

/** Whether a result or an aggregate of the outbox is erased; what cannot be read as one is. */
export function isErasedBody(request: ErasureRequest, body: Uint8Array): boolean {
  try {
    return isErasedItem(request, JSON.parse(Buffer.from(body).toString("utf8")) as ErasableItem);
  } catch {
    return true;
  }
}

/**
 * Whether a dead letter is erased. Nobody knows the source of a message that could not be taken: its topic having the
 * levels of the source, in their order, is enough.
 */
export function isErasedLetter({ stream, source, before }: ErasureRequest, letter: KeptLetter): boolean {
  if (stream !== undefined && letter.stream !== null && letter.stream !== stream) return false;
  if (stream !== undefined && letter.stream === null && source === undefined) return false;
  if (before !== undefined && letter.receivedAt >= before) return false;
  if (source === undefined) return true;
  const levels = letter.topic.split("/");
  let at = 0;
  return source.split("/").every((level) => {
    at = levels.indexOf(level, at) + 1;
    return at > 0;
  });
}
