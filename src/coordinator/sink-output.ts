import type { BatchHead } from "../wire/batch-head.ts";
import type { SinkErasure } from "./sink-erasures.ts";
import type { SinkState, SinkStore } from "./sink-store.ts";

/** New lines of one batch, as they go out. */
export type Delivery = { readonly head: BatchHead; readonly lines: readonly string[] };

/** Where a sink hands on what it has opened. */
export type SinkOutput = {
  readonly name: string;
  /** Takes up where the confirmed steps ended. */
  open(state: SinkState, store: SinkStore): Promise<void>;
  /**
   * Hands lines on, in order; resolves when they are durable there.
   * @returns what to keep with the same step
   * @throws when not all of them are: then none counts, and they come again
   */
  write(deliveries: readonly Delivery[]): Promise<{ readonly files?: Readonly<Record<string, number>> }>;
  /**
   * Erases what has been handed on, in so far as it is in reach; durable when it resolves. What was erased already may
   * be asked for again.
   * @returns lines that were taken out
   * @throws when it could not be done as a whole: then it is asked for again
   */
  erase(erasure: SinkErasure): Promise<number>;
  /** The step that holds what `write` returned is durable. */
  confirm?(files: Readonly<Record<string, number>>): void;
  /** That step failed: what was written since the last confirmed one does not count. */
  abandon?(): Promise<void>;
  close(): Promise<void>;
};

/**
 * A line as it leaves the sink: what the gateway wrote, with where it comes from in front. Order within lane and stream
 * of one incarnation is that of `n`.
 */
export function renderLine(head: BatchHead, n: number, line: string): string {
  const { fleet, gateway, incarnation, lane, kind, stream } = head;
  const origin = JSON.stringify({ fleet, gateway, kind, lane, incarnation, n });
  // A gateway that is trusted may still be mistaken: what is no object is handed on as text rather than lost.
  const rest = isObjectLine(line) ? line.trim() : JSON.stringify({ stream, text: line });
  return rest === "{}" ? origin : `${origin.slice(0, -1)},${rest.slice(1)}`;
}

function isObjectLine(line: string): boolean {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
