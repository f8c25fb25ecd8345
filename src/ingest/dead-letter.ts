import type { ErrorCode } from "../base/errors.ts";

/** A message that could not be taken: kept for whoever has to find out why, bounded in size and number. */
export type DeadLetter = {
  /** Null when no stream takes the topic. */
  readonly stream: string | null;
  readonly topic: string;
  /** The first `deadPayloadBytes` of the payload. */
  readonly payload: Uint8Array;
  /** Size of the whole payload. */
  readonly size: number;
  readonly code: ErrorCode;
  readonly reason: string;
  /** ms since 1970 UTC. */
  readonly receivedAt: number;
};

export const deadPayloadBytes = 65_536;
