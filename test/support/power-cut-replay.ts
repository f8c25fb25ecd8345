import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { checkCut } from "./power-cut-check.ts";
import { Disk, type FateName, type Files, fateNames, fates } from "./power-cut-disk.ts";
import type { TraceEvent } from "./power-cut-trace.ts";
import { type Acknowledged, acknowledgedFile, nothingYet } from "./power-cut-work.ts";

/** A cut after the first `after` events of a trace. */
export type Cut = { readonly after: number; readonly fate: FateName };
export type Found = Cut & { readonly faults: readonly string[] };

export type Replay = {
  readonly cuts: number;
  /** Cuts after which something was wrong. */
  readonly found: readonly Found[];
  /** Cuts that the time did not suffice for. */
  readonly left: number;
};

/** Where a trace is cut: everywhere, or at some places of every kind that there are. */
export type Places = { readonly perKind: number } | "all";

const allOf = (events: readonly TraceEvent[], is: (event: TraceEvent) => boolean): number[] =>
  events.flatMap((event, i) => (is(event) ? i : []));

/**
 * Chooses where to cut, in order. Most calls of a trace are writes of a few large commits: places are chosen by what the
 * call is, not by lot alone, so that small commits and checkpoints are met as well.
 */
function placesIn(events: readonly TraceEvent[], places: Places, random: Random): number[] {
  const all = events.map((_, i) => i + 1);
  if (places === "all") return all;
  const some = (from: readonly number[]): number[] =>
    Array.from({ length: Math.min(places.perKind, from.length) }, () => from[Math.floor(random() * from.length)] ?? 0);
  const syncs = allOf(events, ({ kind }) => kind === "sync");
  const between = some(syncs).map((sync) => {
    const next = syncs[syncs.indexOf(sync) + 1] ?? events.length;
    return sync + 1 + Math.floor(random() * (next - sync));
  });
  const rare = allOf(events, ({ kind }) => !["write", "sync"].includes(kind));
  const chosen = [
    // Most is at stake just before a sync, and has just been promised after it.
    ...some(syncs),
    ...some(syncs.map((sync) => sync + 1)),
    ...some(rare),
    ...some(rare.map((at) => at + 1)),
    ...between,
    ...some(all),
  ];
  return [...new Set([...chosen, events.length])].sort((a, b) => a - b);
}

export type ReplayOptions = {
  readonly places: Places;
  /** Cuts at each place, each with another fate of what was not synced. */
  readonly fatesEach: number;
  readonly seed: number;
  readonly maxMs: number;
  /** Ends at the first cut after which something is wrong. */
  readonly isOver?: (found: readonly Found[]) => boolean;
  readonly ignoresSync?: (name: string) => boolean;
};

/** Cuts the power at places of a trace, and looks at what is left each time. */
export function replay(events: readonly TraceEvent[], options: ReplayOptions): Replay {
  const { places, fatesEach, seed, maxMs, isOver = () => false, ignoresSync } = options;
  const random = seededRandom(seed);
  const end = performance.now() + maxMs;
  const disk = new Disk(ignoresSync);
  const follow = acknowledging();
  const found: Found[] = [];
  const chosen = placesIn(events, places, random);
  let [at, cuts, left] = [0, 0, 0];
  for (const after of chosen) {
    if (isOver(found)) break;
    if (performance.now() > end) {
      left++;
      continue;
    }
    let acknowledged = follow(undefined);
    for (; at < after; at++) {
      const event = events[at];
      if (event) disk.apply(event);
      acknowledged = follow(event);
    }
    for (const fate of someFates(fatesEach, random)) {
      const { dir, remove } = layOut(disk.cut(fates[fate](random)));
      const faults = checkCut(dir, acknowledged);
      remove();
      cuts++;
      if (faults.length > 0) found.push({ after, fate, faults });
    }
  }
  return { cuts, found, left: left * fatesEach };
}

function someFates(count: number, random: Random): FateName[] {
  const names = [...fateNames];
  while (names.length > count) names.splice(Math.floor(random() * names.length), 1);
  return names;
}

/** Follows a trace: what has been acknowledged by then. */
function acknowledging(): (event: TraceEvent | undefined) => Acknowledged {
  let newest = nothingYet;
  let handle = 0;
  return (event) => {
    if (event?.kind === "begin") handle = 0;
    if (event?.kind === "open" && event.name === acknowledgedFile) handle = event.handle;
    if (event?.kind === "write" && event.handle === handle)
      newest = JSON.parse(Buffer.from(event.bytes).toString("utf8")) as Acknowledged;
    return newest;
  };
}

/** The directory as it is when no power was cut. */
export function lastState(events: readonly TraceEvent[]): Files {
  const disk = new Disk();
  for (const event of events) disk.apply(event);
  return disk.cut(fates.everything());
}

/** What a cut has left is read, not made durable: in memory, where there is such a place, that takes a third of the time. */
const scratch = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** Lays files into a directory of their own. */
export function layOut(files: Files): { readonly dir: string; remove(): void } {
  const folder = mkdtempSync(join(scratch, "tidegate-power-cut-"));
  const dir = join(folder, "data");
  mkdirSync(dir);
  for (const [name, content] of files) {
    if (name === acknowledgedFile) continue;
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
  return { dir, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
