import { seededRandom } from "../../src/base/random.ts";
import { type Commit, emptyCommit, type KeptLetter } from "../../src/buffer/commit.ts";
import type { StoreOptions } from "../../src/buffer/store.ts";
import { frameAt, root, setup, stream } from "../unit/buffer/store-values.ts";

// What the writer of the power-cut test commits, by round: the n-th commit is the same whoever asks for it, so that what
// a journal must hold after so many commits is known without having seen them.

/** Where the writer says what is durable: a file beside the databases, so that the trace orders it among their writes. */
export const acknowledgedFile = "acknowledged";

/** What the writer was told to be durable: commits, items of the lane `rest` that went, and the newest value in state.db. */
export type Acknowledged = { readonly rounds: number; readonly receipt: number; readonly value: number };

export const nothingYet: Acknowledged = { rounds: 0, receipt: 0, value: 0 };
export const stateName = "power-cut";
/** Items that a receipt takes at a time. */
export const receiptItems = 6;

export const storeOptions = (dir: string, synchronous: "FULL" | "OFF"): StoreOptions => ({
  dir,
  storageRoot: root,
  streams: [setup()],
  limits: { maxBytes: 2 ** 30, minFree: { bytes: 0 } },
  blockReadings: 64,
  synchronous,
});

/** Every twentieth frame is a block at once; the others are merged into some. */
export const countOf = (round: number): number => (round % 20 === 0 ? 80 : 1 + (round % 23));

/** The sequence number that follows `rounds` commits. */
export function nextAfter(rounds: number): number {
  let next = 0;
  for (let round = 1; round <= rounds; round++) next += countOf(round);
  return next;
}

/** Large ones for a while: they fill the log until it is moved into the file by itself and begun again. */
export function snapshotOf(round: number): Uint8Array {
  const random = seededRandom(round);
  const length = round > 45 && round <= 85 ? 150_000 : 50;
  return Uint8Array.from({ length }, () => random() * 256);
}

const every = (n: number, round: number): number => Math.floor(round / n);

/** Numbers of the parts of a commit that are not in each. */
export const rarely = {
  sources: (rounds: number) => every(10, rounds),
  alarms: (rounds: number) => every(5, rounds),
  dead: (rounds: number) => every(7, rounds),
  /** Each counts one reading. */
  dropped: (rounds: number) => every(9, rounds),
};

const isDue = (what: keyof typeof rarely, round: number): boolean => rarely[what](round) > rarely[what](round - 1);

const letter = (round: number): KeptLetter => ({
  stream,
  topic: `topic/${round}`,
  payload: Buffer.from(`payload ${round}`),
  size: 9,
  code: "PAYLOAD_MALFORMED",
  reason: "it is not JSON",
  receivedAt: round,
});

export function commitOfRound(round: number): Commit {
  const first = nextAfter(round - 1);
  const body = Buffer.from(JSON.stringify({ round }));
  const item = { stream, kind: "result", body } as const;
  return {
    ...emptyCommit,
    frames: [frameAt(first, countOf(round))],
    sources: isDue("sources", round)
      ? [{ stream, at: rarely.sources(round) - 1, sources: [{ sensor: `s${round}` }] }]
      : [],
    cursors: { [stream]: { inferred: first, uplinked: Math.floor(first / 2) } },
    outbox: [{ lane: "rest", ...item }, ...(isDue("alarms", round) ? [{ lane: "alarm", ...item } as const] : [])],
    dead: isDue("dead", round) ? [letter(round)] : [],
    snapshots: [{ stream, name: "pipeline", sequence: first, bytes: snapshotOf(round) }],
    dropped: isDue("dropped", round) ? [{ stream, reason: "storage", n: 1 }] : [],
  };
}
