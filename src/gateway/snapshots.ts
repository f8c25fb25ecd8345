import type { Clock } from "../base/clock.ts";
import type { Snapshot } from "../buffer/commit.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { type StreamPath, snapshotName } from "./stream-path.ts";

/** A snapshot is taken when so many readings came since the last one, or so long ago. */
const everyReadings = 50_000;
const everyMs = 600_000;

/** Decides when the state of a stream's windows and verdicts is saved, so that a restart has little to play back. */
export class Snapshots {
  readonly #scheduler: Pick<Scheduler, "inferredUpTo">;
  readonly #clock: Clock;
  readonly #last = new Map<string, { sequence: number; at: number }>();

  constructor(scheduler: Pick<Scheduler, "inferredUpTo">, clock: Clock) {
    this.#scheduler = scheduler;
    this.#clock = clock;
  }

  /**
   * A snapshot when one is due (or `isForced`) and can be taken now: while no window is between pipeline and verdicts, and
   * no result is owed. Nothing before a snapshot is played again, so a result that is owed would never be given.
   */
  of(path: StreamPath, isForced = false): Snapshot | null {
    const now = this.#clock.monotonic();
    const sequence = path.intake.next;
    const last = this.#last.get(path.name) ?? { sequence, at: now };
    this.#last.set(path.name, last);
    const isDue = sequence - last.sequence >= everyReadings || (now - last.at >= everyMs && sequence > last.sequence);
    if (!isDue && !isForced) return null;
    if (this.#scheduler.inferredUpTo(path.name) !== Number.POSITIVE_INFINITY) return null;
    if (path.publisher.oldest !== Number.POSITIVE_INFINITY) return null;
    const bytes = path.snapshot();
    if (!bytes) return null;
    this.#last.set(path.name, { sequence, at: now });
    return { stream: path.name, name: snapshotName, sequence, bytes };
  }
}
