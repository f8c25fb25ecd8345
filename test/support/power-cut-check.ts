import { reasonOf } from "../../src/base/errors.ts";
import { Store, type StoreEvent } from "../../src/buffer/store.ts";
import { frameAt, stream } from "../unit/buffer/store-values.ts";
import { integrityOf } from "./daemon-journal.ts";
import {
  type Acknowledged,
  commitOfRound,
  countOf,
  nextAfter,
  rarely,
  receiptItems,
  snapshotOf,
  stateName,
  storeOptions,
} from "./power-cut-work.ts";

/**
 * Opens what a power cut left with the real store, and looks for all that had been acknowledged.
 * @returns what is wrong; empty when the invariant holds
 */
export function checkCut(dir: string, acknowledged: Acknowledged): string[] {
  const faults: string[] = [];
  const events: StoreEvent[] = [];
  let store: Store;
  try {
    store = new Store(storeOptions(dir, "OFF"), (event) => events.push(event));
  } catch (thrown) {
    return [`it does not open: ${reasonOf(thrown)}`];
  }
  try {
    const rounds = roundsOf(store.stateOf(stream).next);
    faults.push(...lost(store, rounds, acknowledged));
    // It is not only there to be read: the next commit takes its place.
    store.commit(commitOfRound(rounds + 1));
    if (store.stateOf(stream).next !== nextAfter(rounds + 1)) faults.push("it does not go on");
  } catch (thrown) {
    faults.push(`it does not work: ${reasonOf(thrown)}`);
  } finally {
    store.close();
  }
  faults.push(...events.map((event) => `it tells of ${JSON.stringify(event)}`));
  const integrity = integrityOf(dir);
  if (integrity.some((word) => word !== "ok")) faults.push(`integrity_check: ${integrity.join(", ")}`);
  return faults;
}

/** More than any writer commits. */
const maxRounds = 1_000;

/** How many commits a journal holds. @throws when it ends within one, or is another: its numbers begin far beyond */
function roundsOf(next: number): number {
  let [rounds, end] = [0, 0];
  while (end < next && rounds < maxRounds) end += countOf(++rounds);
  if (end !== next) throw new Error(`its next reading is ${next}, with which no commit ends`);
  return rounds;
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Compares a store with what `rounds` commits put into it, those with what was acknowledged. */
function lost(store: Store, rounds: number, acknowledged: Acknowledged): string[] {
  const faults: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown): void => {
    if (!same(found, wanted))
      faults.push(`${what} after ${rounds}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`.slice(0, 400));
  };
  if (rounds < acknowledged.rounds) faults.push(`${rounds} commits of ${acknowledged.rounds} acknowledged`);
  if (rounds > acknowledged.rounds + 1) faults.push(`${rounds} commits, more than were begun`);

  const next = nextAfter(rounds);
  const first = nextAfter(rounds - 1);
  const readings = readAll(store);
  expect("sequence numbers", readings.sequence, numbers(0, next));
  expect("values", readings.values, Array.from(frameAt(0, next).values[1] ?? []));

  const { cursors, sources } = store.stateOf(stream);
  expect("cursors", cursors, { inferred: first, aggregated: 0, uplinked: Math.floor(first / 2) });
  expect("sources", sources.length, rarely.sources(rounds));
  const snapshot = store.snapshot(stream, "pipeline");
  const isWhole = snapshot && Buffer.from(snapshot.bytes).equals(snapshotOf(rounds));
  if (rounds > 0 && !(isWhole && snapshot.sequence === first)) faults.push(`the snapshot is not that of ${rounds}`);
  expect("dead letters", store.dead(1_000).length, rarely.dead(rounds));
  expect("counted drops", store.stats().streams[stream]?.dropped.storage ?? 0, rarely.dropped(rounds));

  const owed = roundsIn(store, "rest");
  const gone = (owed[0] ?? rounds + 1) - 1;
  expect("the outbox", owed, numbers(gone + 1, rounds + 1));
  if (gone < acknowledged.receipt) faults.push(`items went up to ${acknowledged.receipt} and are back from ${gone}`);
  if (gone > acknowledged.receipt + receiptItems) faults.push(`items up to ${gone} are gone, none was to go`);
  expect("alarms", roundsIn(store, "alarm").length, rarely.alarms(rounds));

  const value = Number(Buffer.from(store.stateGet(stateName) ?? []).toString("utf8"));
  if (value < acknowledged.value) faults.push(`state.db holds ${value}, not ${acknowledged.value}`);
  return faults;
}

function roundsIn(store: Store, lane: "alarm" | "rest"): number[] {
  const items = store.outboxAfter(lane, 0, 10_000, 2 ** 30);
  return items.map(({ body }) => JSON.parse(Buffer.from(body).toString("utf8")).round as number);
}

/** Every reading, with its second field. */
function readAll(store: Store): { sequence: number[]; values: number[] } {
  const sequence: number[] = [];
  const values: number[] = [];
  for (;;) {
    const frames = store.read(stream, { from: (sequence.at(-1) ?? -1) + 1, limit: 1_000 });
    if (frames.length === 0) return { sequence, values };
    for (const frame of frames) {
      sequence.push(...numbers(frame.first, frame.first + frame.count));
      values.push(...(frame.values[1] ?? []));
    }
  }
}
