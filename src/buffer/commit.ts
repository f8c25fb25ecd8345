import type { Frame, Source } from "../base/frame.ts";

/** How far a stream's readings have been worked on: those with a sequence number below a cursor are done. */
export type Cursors = { inferred: number; aggregated: number; uplinked: number };

export const lanes = ["alarm", "rest"] as const;
/** The outbox has two lanes, alarms and the rest, each in order. */
export type OutboxLane = (typeof lanes)[number];

export type OutboxItem = {
  readonly lane: OutboxLane;
  readonly stream: string;
  readonly kind: "result" | "aggregate";
  /** JSON, UTF-8. */
  readonly body: Uint8Array;
};

/** An item of the outbox with its number: numbers grow within a lane and are never used again. */
export type OutboxEntry = OutboxItem & { readonly n: number; readonly at: number };

/** A message that could not be taken, as the journal keeps it. `DeadLetter` of ingest fits. */
export type KeptLetter = {
  readonly stream: string | null;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly size: number;
  readonly code: string;
  readonly reason: string;
  readonly receivedAt: number;
};

export type Snapshot = {
  readonly stream: string;
  readonly name: string;
  readonly sequence: number;
  readonly bytes: Uint8Array;
};

/** What one transaction holds: all of it or nothing. */
export type Commit = {
  readonly frames: readonly Frame[];
  /** New entries of the dictionaries, in order, from index `at` on. */
  readonly sources: readonly { readonly stream: string; readonly at: number; readonly sources: readonly Source[] }[];
  readonly cursors: Readonly<Record<string, Partial<Cursors>>>;
  readonly outbox: readonly OutboxItem[];
  readonly dead: readonly KeptLetter[];
  readonly snapshots: readonly Snapshot[];
  /** Readings that never came into the journal, by stream and reason: counted for good. */
  readonly dropped: readonly { readonly stream: string; readonly reason: string; readonly n: number }[];
};

export const emptyCommit: Commit = {
  frames: [],
  sources: [],
  cursors: {},
  outbox: [],
  dead: [],
  snapshots: [],
  dropped: [],
};

export type StreamSetup = {
  readonly name: string;
  readonly fields: readonly string[];
  readonly keep: { readonly maxBytes: number; readonly maxAge: number; readonly priority: number };
};

/** What a stream stands at when the journal is opened. */
export type StreamState = {
  readonly sources: readonly Source[];
  readonly next: number;
  readonly cursors: Readonly<Cursors>;
};

/** Which readings to read. Sequence numbers and times (ms UTC); upper ends are not included. */
export type Range = {
  readonly from?: number;
  readonly to?: number;
  readonly fromTs?: number;
  readonly toTs?: number;
  readonly limit: number;
};

export type StreamStats = {
  readonly readings: number;
  readonly blocks: number;
  readonly tails: number;
  readonly bytes: number;
  /** Times of the first reading of the oldest piece and of the last of the newest, ms UTC. */
  readonly oldest: number | null;
  readonly newest: number | null;
  readonly dropped: Readonly<Record<string, number>>;
};

/** What `buffer stats --json` prints. */
export type BufferStats = {
  readonly streams: Readonly<Record<string, StreamStats>>;
  readonly walBytes: number;
  readonly fileBytes: number;
  readonly outbox: { readonly messages: number; readonly oldestAgeSeconds: number };
  readonly deadLetters: number;
  /** Pieces that did not open. */
  readonly quarantined: number;
  /** What is left of a buffer.db that would not open. */
  readonly asideBytes: number;
};
