import type { ReadingBatch } from "./reading-batch.ts";

/** Turns payloads of one stream into readings. Holds no state between payloads. */
export type Decoder = {
  /** Names of the fields, in the order of the batch's columns. */
  readonly fields: readonly string[];
  /** The payload itself is kept with its reading. */
  readonly keepsPayload: boolean;
  /**
   * Appends the payload's readings to `batch`. A payload is taken whole or not at all: when this throws, the caller
   * drops the batch.
   * @throws TidegateError PAYLOAD_* (kind reject)
   */
  decode(payload: Uint8Array, batch: ReadingBatch): void;
};
