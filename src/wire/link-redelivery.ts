/**
 * Whether a message was handed on before: `certain` when it surely was, in this process; `maybe` when the broker says
 * that it sent it before and nothing more is known; `no` otherwise.
 */
export type Repeat = "no" | "maybe" | "certain";

const sampled = 32_768;

/** FNV-1a over topic, length and content; of contents above 64 KiB only the first and last 32 KiB. */
export function contentHash(topic: string, payload: Uint8Array): number {
  let hash = 0x811c9dc5 ^ payload.length;
  for (let i = 0; i < topic.length; i++) hash = Math.imul(hash ^ topic.charCodeAt(i), 0x01000193);
  const { length } = payload;
  const headEnd = length > 2 * sampled ? sampled : length;
  for (let i = 0; i < headEnd; i++) hash = Math.imul(hash ^ (payload[i] ?? 0), 0x01000193);
  if (headEnd < length) {
    for (let i = length - sampled; i < length; i++) hash = Math.imul(hash ^ (payload[i] ?? 0), 0x01000193);
  }
  return hash >>> 0;
}

/**
 * Recognises what a broker sends again after a reconnect.
 *
 * Only a message whose acknowledgement was never written is certain to be itself: the broker cannot have given its
 * packet id to another. Once a PUBACK has been written, the id may have been given anew to an equal message that got
 * lost on the way (a sensor that says "21.5" again), so such a one is `maybe`: better stored twice than not at all.
 */
export class Redelivery {
  /** Packet ids that were unacknowledged when their connection closed, with the hash of what they carried. */
  readonly #unanswered = new Map<number, number>();

  /** A connection closed and this message's acknowledgement had not been written. */
  remember(packetId: number, hash: number): void {
    this.#unanswered.set(packetId, hash);
  }

  /** The broker began a new session: its packet ids mean other messages from now on. */
  forget(): void {
    this.#unanswered.clear();
  }

  judge(packetId: number, isDup: boolean, hash: number): Repeat {
    if (this.#unanswered.size === 0) return isDup ? "maybe" : "no";
    const known = this.#unanswered.get(packetId);
    if (known === undefined) return isDup ? "maybe" : "no";
    this.#unanswered.delete(packetId);
    if (!isDup) return "no";
    return known === hash ? "certain" : "maybe";
  }
}
