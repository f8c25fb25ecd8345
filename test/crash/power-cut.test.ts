import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fateNames } from "../support/power-cut-disk.ts";
import { compileShim, compilerMissing as reason, record } from "../support/power-cut-recorder.ts";
import { type Found, lastState, type Places, type Replay, replay } from "../support/power-cut-replay.ts";
import { readTrace, type TraceEvent } from "../support/power-cut-trace.ts";

// Invariant: wherever the power is cut, the journal opens without setting anything aside, both databases are sound, and
// it holds every commit, receipt and value of state.db that had been acknowledged by then, wholly and once, at most one
// commit beyond them, and goes on.
//
// The medium is taken to be no better than POSIX says: a file's content is durable once the file has been synced, its
// name once the directory has; all else is kept, dropped or torn at 512-byte sectors, in any order. It is taken to
// write a sector wholly or not at all and nothing beside what was written, and not to lose what it said was synced.
//
// The shim (shim/record-writes.c) records what the real journal does to its files. POWER_CUT=all cuts after every call,
// with every fate of what was not synced; that takes the better part of an hour.

const isAll = process.env.POWER_CUT === "all";
const places: Places = isAll ? "all" : { perKind: 35 };
const seed = Number(process.env.POWER_CUT_SEED ?? 1);
const budgetMs = isAll ? 4 * 3_600_000 : 30_000;

const shim = compileShim();

/** Names of the writer's files in the order of a trace's handles. */
function named(events: readonly TraceEvent[]): (event: TraceEvent) => string {
  const names = new Map<TraceEvent, string>();
  let opened = new Map<number, string>();
  for (const event of events) {
    if (event.kind === "begin") opened = new Map();
    if (event.kind === "open") opened.set(event.handle, event.name);
    if ("handle" in event) names.set(event, opened.get(event.handle) ?? "");
  }
  return (event) => names.get(event) ?? "";
}

/** What went wrong, readable, when something did. */
const told = (found: readonly Found[]): string[] =>
  found.slice(0, 10).map(({ after, fate, faults }) => `after ${after}, ${fate}: ${faults.join("; ").slice(0, 600)}`);

const isLoss = ({ faults }: Found): boolean => faults.some((fault) => fault.endsWith("acknowledged"));

function say(what: string, { cuts, found, left }: Replay): void {
  const rest = left > 0 ? `, ${left} left out for want of time` : "";
  console.log(`power cut, ${what}: ${cuts} cuts, something wrong after ${found.length}${rest}`);
}

if (!shim && process.env.REQUIRE_REAL === "1")
  describe("a journal whose power is cut", () => {
    it("finds a compiler", () => {
      throw new Error(reason);
    });
  });
else if (!shim) console.log(`power cut: left out, ${reason}`);

describe.skipIf(!shim)(`a journal whose power is cut${shim ? "" : ` (${reason})`}`, () => {
  let events: TraceEvent[] = [];
  let dir = "";
  const clean: (() => void)[] = [];

  beforeAll(async () => {
    if (!shim) return;
    clean.push(shim.remove);
    // Begun and killed; recovered, filled until the log is begun again by itself, and closed; opened again and killed.
    const recording = await record(shim, "FULL", [
      { upTo: 40, end: "kill" },
      { upTo: 95, end: "close" },
      { upTo: 110, end: "kill" },
    ]);
    clean.push(recording.remove);
    dir = recording.dir;
    events = readTrace(recording.trace);
  }, 60_000);

  afterAll(() => {
    for (const remove of clean) remove();
  });

  it("was recorded without a gap: the trace ends in the files that are there", () => {
    const last = lastState(events);
    const present = readdirSync(dir).filter((name) => !name.endsWith("-shm"));
    expect([...last.keys()].sort()).toEqual(present.sort());
    for (const name of present) expect(last.get(name)?.equals(readFileSync(join(dir, name))), name).toBe(true);
  });

  it("was recorded in all that it does to its files", () => {
    const nameOf = named(events);
    const count = (is: (event: TraceEvent, name: string) => boolean) =>
      events.filter((event) => is(event, nameOf(event))).length;
    expect(count(({ kind }, name) => kind === "write" && name === "acknowledged")).toBeGreaterThan(110);
    expect(count(({ kind }, name) => kind === "sync" && name === "buffer.db-wal")).toBeGreaterThan(110);
    // The log was moved into the file and begun again, as asked, and once by SQLite itself when it had grown.
    const begun = count((event, name) => event.kind === "write" && event.offset === 0 && name === "buffer.db-wal");
    const moved = count(({ kind }, name) => kind === "sync" && name === "buffer.db");
    expect(begun).toBeGreaterThanOrEqual(5);
    expect(moved).toBeGreaterThanOrEqual(5);
    expect(count(({ kind }, name) => kind === "write" && name === "buffer.db")).toBeGreaterThan(50);
  });

  it(
    "opens, is sound and holds everything that was acknowledged",
    () => {
      const fatesEach = isAll ? fateNames.length : 2;
      const result = replay(events, { places, fatesEach, seed, maxMs: budgetMs });
      say("synchronous=FULL", result);
      expect(told(result.found)).toEqual([]);
      // Cut off by the clock on a slow machine it still has to have shown something.
      expect(result.cuts).toBeGreaterThan(50);
    },
    budgetMs + 30_000,
  );

  // The tests of the test: each kind of sync that is left away is missed.
  const needed: Record<string, (name: string) => boolean> = {
    "of the log of buffer.db": (name) => name === "buffer.db-wal",
    "of buffer.db": (name) => name === "buffer.db",
    "of the log of state.db": (name) => name === "state.db-wal",
    "of state.db": (name) => name === "state.db",
    "of the directory": (name) => name === "",
  };
  for (const [what, ignoresSync] of Object.entries(needed))
    it(`would not, were the syncs ${what} in vain`, () => {
      const isOver = (found: readonly Found[]) => found.length > 0;
      const options = { places: { perKind: 35 }, fatesEach: 2, seed: 3, maxMs: 20_000 };
      const result = replay(events, { ...options, ignoresSync, isOver });
      expect(result.found.length).toBeGreaterThan(0);
    });

  it("holds what was acknowledged on a disk that fails now and then to sync the log, and then loses what it had", async () => {
    if (!shim) return;
    const recording = await record(shim, "FULL", [{ upTo: 44, end: "kill" }], 9);
    clean.push(recording.remove);
    const trace = readTrace(recording.trace);
    expect(trace.filter(({ kind }) => kind === "failed-sync").length).toBeGreaterThan(3);
    const result = replay(trace, { places: { perKind: 20 }, fatesEach: 2, seed: 7, maxMs: 20_000 });
    say("a sync in 9 failing", result);
    expect(told(result.found)).toEqual([]);
    expect(result.cuts).toBeGreaterThan(50);
  }, 60_000);

  it("loses what was acknowledged with synchronous=OFF, which only a cut shows, not a kill", async () => {
    if (!shim) return;
    const recording = await record(shim, "OFF", [{ upTo: 40, end: "kill" }]);
    clean.push(recording.remove);
    const trace = readTrace(recording.trace);
    const isOver = (found: readonly Found[]) => found.filter(isLoss).length >= 5;
    const options = { places: { perKind: 20 }, fatesEach: fateNames.length, seed: 5, maxMs: 20_000, isOver };
    const result = replay(trace, options);
    say("synchronous=OFF", result);
    expect(result.found.filter(isLoss).length).toBeGreaterThan(0);
    expect(told(result.found.filter(({ fate }) => fate === "everything"))).toEqual([]);
  });
});
