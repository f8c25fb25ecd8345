import type { ErrorCode, TidegateError } from "../base/errors.ts";
import { maxTopicLength } from "./topic-pattern.ts";

/** A message that could not be taken: kept for whoever has to find out why. */
export type DeadLetter = {
  /** Null when no stream takes the topic. */
  readonly stream: string | null;
  /** At most `maxTopicLength` characters of it. */
  readonly topic: string;
  /** The first `deadPayloadBytes` of the payload: a copy. */
  readonly payload: Uint8Array;
  /** Size of the whole payload, bytes. */
  readonly size: number;
  readonly code: ErrorCode;
  readonly reason: string;
  /** ms since 1970 UTC. */
  readonly receivedAt: number;
};

export const deadPayloadBytes = 65_536;

/** Makes the dead letter of a message; `payload` may be overwritten afterwards. */
export function deadLetter(
  stream: string | null,
  topic: string,
  payload: Uint8Array,
  error: TidegateError,
  receivedAt: number,
): DeadLetter {
  return {
    stream,
    topic: topic.slice(0, maxTopicLength).toWellFormed(),
    // Not `payload.slice`: on a Buffer that is a view of memory that the next packet overwrites.
    payload: new Uint8Array(payload.subarray(0, deadPayloadBytes)),
    size: payload.length,
    code: error.code,
    reason: error.message,
    receivedAt,
  };
}

/**
 * Dead letters that wait for the next commit, within bounds: what a flood of bad messages brings beyond them is only
 * counted. The oldest stay, since the first of a flood tell as much as the last.
 */
export class DeadLetters {
  readonly #maxLetters: number;
  readonly #maxBytes: number;
  #letters: DeadLetter[] = [];
  #bytes = 0;
  /** Letters that found no room. */
  dropped = 0;

  constructor(limits: { maxLetters?: number; maxBytes?: number } = {}) {
    this.#maxLetters = limits.maxLetters ?? 256;
    this.#maxBytes = limits.maxBytes ?? 4 * 2 ** 20;
  }

  get count(): number {
    return this.#letters.length;
  }

  add(letter: DeadLetter): void {
    const bytes = letter.payload.length + letter.topic.length;
    if (this.#letters.length >= this.#maxLetters || this.#bytes + bytes > this.#maxBytes) {
      this.dropped++;
      return;
    }
    this.#letters.push(letter);
    this.#bytes += bytes;
  }

  /** Hands over what waits, oldest first. */
  take(): DeadLetter[] {
    const letters = this.#letters;
    this.#letters = [];
    this.#bytes = 0;
    return letters;
  }
}
