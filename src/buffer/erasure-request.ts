import { TidegateError } from "../base/errors.ts";
import { renderSource, type Source } from "../base/frame.ts";
import type { KeptLetter } from "./commit.ts";

/** What is to be erased: everything that all of its parts say together. */
export type ErasureRequest = {
  readonly stream?: string;
  /** As it stands in topics: captured levels joined by "/". Of one stream, or of all. */
  readonly source?: string;
  /** Readings from before this time, ms UTC. */
  readonly before?: number;
  /** All readings of all streams: said, so that nothing is erased by leaving something out. */
  readonly all?: true;
};

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

/** What an erasure took. */
export type ErasureFacts = {
  readonly streams: number;
  readonly readings: number;
  readonly outbox: number;
  readonly deadLetters: number;
};

/** Whether a result or an aggregate of the outbox is erased; what cannot be read as one is. */
export function isErasedItem({ source, before }: ErasureRequest, body: Uint8Array): boolean {
  try {
    const item = JSON.parse(Buffer.from(body).toString("utf8")) as { source?: Source; ts?: number; from?: number };
    if (source !== undefined && (!item.source || renderSource(item.source) !== source))
      return item.source === undefined;
    return before === undefined || (item.ts ?? item.from ?? Number.NEGATIVE_INFINITY) < before;
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
