import { reasonOf } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { StreamState } from "../buffer/commit.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import type { Collector } from "./collector.ts";
import type { Committer } from "./committer.ts";
import { type StreamPath, snapshotName } from "./stream-path.ts";

/** Without a snapshot this many readings before the cursor are enough to fill windows and settle verdicts. */
const lookBack = 50_000;
const sliceReadings = 4_096;
const retryMs = 500;
/** So often the journal is asked for what it does not give. */
const maxTries = 20;

export type RecoveryParts = {
  readonly path: StreamPath;
  readonly journal: Pick<Journal, "read" | "snapshot">;
  readonly scheduler: Pick<Scheduler, "room" | "roomOf">;
  readonly log: Log;
  readonly collector: Pick<Collector, "touch">;
  readonly committer: Pick<Committer<unknown>, "flushUnlessFailing" | "isIdle" | "failingSince">;
};

/**
 * Brings a stream to where it was when the daemon ended: takes up the newest snapshot and plays the journal from there.
 * Results below the `inferred` cursor are computed in silence, since later ones build on them; those after it are given,
 * marked as repeated.
 *
 * It goes on while the gateway takes readings and publishes: what is owed goes out no faster than the broker confirms it,
 * and the cursor follows, so that a life however short brings the work forward.
 */
export class Recovery {
  readonly #parts: RecoveryParts;
  #start = 0;
  #inferred = 0;
  #next = 0;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /** Restores the snapshot. Await it before readings come: from then on they are played in their turn. */
  async prepare({ next, cursors }: StreamState): Promise<void> {
    const { path, journal } = this.#parts;
    if (!path.isJudged || next === 0) return;
    const snapshot = await journal.snapshot(path.name, snapshotName);
    const isUsable = snapshot !== null && snapshot.sequence <= next && path.restore(snapshot.bytes);
    this.#start = isUsable ? snapshot.sequence : Math.max(0, cursors.inferred - lookBack);
    this.#inferred = cursors.inferred;
    this.#next = next;
    path.beginReplay(this.#start, cursors.inferred, next);
  }

  /** Plays until the stream has caught up with what arrives. */
  async run(signal: AbortSignal): Promise<void> {
    const { path, log, committer } = this.#parts;
    if (!path.isReplaying) return;
    let [at, played] = [this.#start, 0];
    while (!signal.aborted) {
      while (at < path.committed && !signal.aborted) {
        const frames = await this.#read(at, path.committed, signal);
        if (frames.length === 0) at = path.committed;
        for (const frame of frames) {
          await this.#play(frame, signal);
          played += frame.count;
          at = frame.first + frame.count;
        }
        // Each slice that was given moves the cursor.
        if (at > this.#inferred && !signal.aborted) await this.#commit();
      }
      if (signal.aborted) return;
      // What a commit in flight holds is neither in the journal nor with the intake.
      const isAllThere = committer.isIdle || path.committed === path.intake.next - path.intake.pending;
      if (at >= path.committed && isAllThere) break;
      await this.#commit();
      if (committer.failingSince !== null) await sleep(retryMs, signal);
    }
    if (signal.aborted) return;
    path.goLive();
    if (played > 0)
      log.info(
        { stream: path.name, readings: played, owed: Math.max(0, this.#next - this.#inferred) },
        "journal played",
      );
  }

  /** Writes how far the work has come, and what waits. A disk that takes nothing does not hold up decisions. */
  #commit(): Promise<void> {
    this.#parts.collector.touch();
    return this.#parts.committer.flushUnlessFailing();
  }

  /** A slice of readings; none when there are none, or the journal does not give them. */
  async #read(from: number, to: number, signal: AbortSignal): Promise<Frame[]> {
    const { path, journal, log } = this.#parts;
    for (let tries = 1; !signal.aborted; tries++)
      try {
        return await journal.read(path.name, { from, to, limit: sliceReadings });
      } catch (thrown) {
        if (signal.aborted) break;
        if (tries === 1) log.warn({ stream: path.name, reason: reasonOf(thrown) }, "the journal cannot be played now");
        if (tries === maxTries) {
          log.error({ stream: path.name, readings: to - from }, "decisions go on without what cannot be played");
          break;
        }
        await sleep(retryMs);
      }
    return [];
  }

  async #play(frame: Frame, signal: AbortSignal): Promise<void> {
    const { path, scheduler } = this.#parts;
    // A frame may hold more readings than there is room for windows, and each may complete one.
    const step = Math.min(sliceReadings, scheduler.roomOf(path.name));
    for (let at = 0; at < frame.count && !signal.aborted; at += step) {
      path.replay(frame, at, Math.min(frame.count, at + step));
      await unless(signal, scheduler.room(path.name));
      await unless(signal, path.publisher.room());
    }
  }
}

/** Waits for `wait`, but no longer than until the signal aborts. */
function unless(signal: AbortSignal, wait: Promise<void>): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
    void wait.then(done);
  });
}
