import type { Commit, OutboxItem, Snapshot } from "../buffer/commit.ts";
import type { DeadLetters } from "../ingest/dead-letter.ts";
import type { Load } from "./committer.ts";
import type { StreamPath } from "./stream-path.ts";

export type CollectorOptions = {
  readonly paths: readonly StreamPath[];
  readonly letters: DeadLetters;
  /** The last message that the link has handed over. */
  lastTicket(): number;
  /** There is somewhere to send to. */
  readonly hasCloud: boolean;
};

/** Items that wait for the next commit; beyond them the oldest results are left out and counted. */
const maxWaiting = 65_536;

/** Gathers what the next commit is to hold, over all streams. */
export class Collector {
  readonly #options: CollectorOptions;
  #outbox: OutboxItem[] = [];
  #snapshots: Snapshot[] = [];
  /** By stream and reason: a disk that is broken for weeks sheds very often. */
  #dropped = new Map<string, { stream: string; reason: string; n: number }>();
  /** Cursors that nothing else would bring to disk, e.g. after all results were confirmed. */
  #isCursorDue = false;
  /** The newest ticket that a commit has answered for. */
  #ticket = 0;
  /** `inferred` by stream as it was last written. */
  readonly #written = new Map<string, number>();

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** Readings that no commit has taken. */
  get pending(): number {
    return this.#options.paths.reduce((sum, { intake }) => sum + intake.pending, 0);
  }

  /** A result was given, as JSON: it goes to the cloud when the stream's policy says so, an alarm by the quick lane. */
  addResult(path: StreamPath, text: string, isAlarmEdge: boolean): void {
    const { uplink } = path.config;
    if (!this.#options.hasCloud || uplink === "none") return;
    if (uplink !== "results" && !isAlarmEdge) return;
    const lane = isAlarmEdge ? "alarm" : "rest";
    this.#push({ lane, stream: path.name, kind: "result", body: Buffer.from(text) });
  }

  #push(item: OutboxItem): void {
    this.#outbox.push(item);
    this.#bound();
  }

  #bound(): void {
    for (const { stream } of this.#outbox.splice(0, Math.max(0, this.#outbox.length - maxWaiting)))
      this.#countDropped({ stream, reason: "outbox", n: 1 });
  }

  #countDropped({ stream, reason, n }: { stream: string; reason: string; n: number }): void {
    const key = `${stream}/${reason}`;
    this.#dropped.set(key, { stream, reason, n: n + (this.#dropped.get(key)?.n ?? 0) });
  }

  addSnapshot(snapshot: Snapshot): void {
    this.#snapshots.push(snapshot);
  }

  /** Makes the next commit write cursors even when no reading waits. */
  touch(): void {
    this.#isCursorDue = true;
  }

  /** Everything that waits; null when nothing does. */
  collect = (): Load<Commit> | null => {
    const { paths, letters, lastTicket } = this.#options;
    const ticket = lastTicket();
    const taken = paths.map((path) => ({ path, ...path.intake.take() }));
    const frames = taken.flatMap(({ frame }) => (frame ? [frame] : []));
    const counts = taken.map(({ path, newSources }) => ({ path, count: path.intake.sources.length, newSources }));
    const sources = counts
      .filter(({ newSources }) => newSources.length > 0)
      .map(({ path, count, newSources }) => ({
        stream: path.name,
        at: count - newSources.length,
        sources: newSources,
      }));
    const cursors = this.#cursors();
    const outbox = this.#outbox;
    const dead = letters.take();
    const snapshots = this.#snapshots;
    const dropped = [...this.#dropped.values()];
    const hasCursors = this.#isCursorDue && Object.keys(cursors).length > 0;
    const isEmpty =
      frames.length + sources.length + outbox.length + dead.length + snapshots.length + dropped.length === 0;
    // Messages that left nothing behind (repeats, empty ones) are to be acknowledged, too.
    if (isEmpty && !hasCursors && ticket === this.#ticket) return null;
    this.#ticket = ticket;
    this.#outbox = [];
    this.#snapshots = [];
    this.#dropped.clear();
    this.#isCursorDue = false;
    const commit: Commit = { frames, sources, cursors, outbox, dead, snapshots, dropped };
    const onDurable = () => {
      for (const { path, count } of counts) path.intake.markStored(count);
      for (const [stream, { inferred }] of Object.entries(cursors)) this.#written.set(stream, inferred);
      for (const frame of frames)
        paths.find(({ name }) => name === frame.stream)?.onCommitted(frame.first + frame.count, frame.count);
    };
    // Only readings are given up. What else the commit held goes into the next, before what came meanwhile.
    const onShed = () => {
      for (const loss of dropped) this.#countDropped(loss);
      for (const { stream, count } of frames) this.#countDropped({ stream, reason: "storage", n: count });
      this.#outbox = [...outbox, ...this.#outbox];
      this.#bound();
      for (const letter of dead) letters.add(letter);
      for (const frame of frames) paths.find(({ name }) => name === frame.stream)?.onShed(frame.count);
    };
    const readings = frames.reduce((sum, { count }) => sum + count, 0);
    return { commit, readings, ticket, onDurable, onShed };
  };

  #cursors(): Record<string, { inferred: number }> {
    const cursors: Record<string, { inferred: number }> = {};
    for (const path of this.#options.paths) {
      const inferred = path.inferredUpTo();
      if (inferred > (this.#written.get(path.name) ?? 0)) cursors[path.name] = { inferred };
    }
    return cursors;
  }
}
