import type { BatchKind, BatchLane } from "./batch-head.ts";

/** One line that is owed to the cloud. */
export type OwedEntry = {
  /** Grows within its source and is never used again; numbers may be missing. */
  readonly n: number;
  readonly stream: string;
  readonly kind: BatchKind;
  /** Since when it is owed, ms UTC. */
  readonly at: number;
  /** JSON, UTF-8, without line breaks. */
  readonly body: Uint8Array;
};

/** Where owed lines lie, durably, until they are settled: a lane of the outbox, or the readings of a raw stream. */
export type OwedSource = {
  readonly lane: BatchLane;
  /** What is owed has greater numbers than this. */
  readonly settledUpTo: number;
  /** The entries after number `n`, in order; none when there is nothing more yet. */
  load(n: number, limit: number, maxBytes: number): Promise<readonly OwedEntry[]>;
  /** The sink has everything up to this number: it is owed no longer. */
  settle(upTo: number): Promise<void>;
  /** The number of the newest entry, or anything below when there is none after `n`. */
  newest(n: number): Promise<number>;
};

/** What is needed of the journal's outbox. `Journal` fits. */
export type Outbox = {
  outboxAfter(
    lane: "alarm" | "rest",
    n: number,
    limit: number,
    maxBytes: number,
  ): Promise<readonly (Omit<OwedEntry, "kind"> & { readonly kind: "result" | "aggregate" })[]>;
  outboxReceipt(lane: "alarm" | "rest", n: number): Promise<void>;
};

/** A lane of the outbox as a source. */
export function outboxSource(outbox: Outbox, lane: "alarm" | "rest"): OwedSource {
  const isAfter = async (n: number): Promise<boolean> => (await outbox.outboxAfter(lane, n, 1, 1)).length > 0;
  return {
    lane,
    settledUpTo: 0,
    load: (n, limit, maxBytes) => outbox.outboxAfter(lane, n, limit, maxBytes),
    settle: (upTo) => outbox.outboxReceipt(lane, upTo),
    async newest(n) {
      if (!(await isAfter(n))) return n;
      // The end is found by doubling and halving: the outbox knows no shorter way, and this is asked once an outage.
      let [low, step] = [n, 1];
      while (await isAfter(low + step)) {
        low += step;
        step *= 2;
      }
      let high = low + step;
      while (high - low > 1) {
        const middle = low + Math.floor((high - low) / 2);
        if (await isAfter(middle)) low = middle;
        else high = middle;
      }
      return high;
    },
  };
}
