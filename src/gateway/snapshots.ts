import type { Clock } from "../base/clock.ts";
import type { Snapshot } from "../buffer/commit.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { type StreamPath, snapshotName } from "./stream-path.ts";

/** A snapshot is due when so many readings came since the last one, or so long ago. */
const everyReadings = 10_000;
const everyMs = 600_000;
/** With many sources a snapshot is large: then it has to be worth what it writes, by about one byte in twenty. */
const readingsPerByte = 1 / 4;

type Last = { readonly sequence: number; readonly at: number; readonly bytes: number };

/**
 * Saves the state of a stream's windows and verdicts now and then, so that a restart has little to play back.
 *
 * A stream under load never stands still, so a snapshot is taken in three steps: the state of the windows at a reading;
 * that of the verdicts once all windows up to it have their results, before the next ones have; and it is handed on once
 * the broker has confirmed those results. Nothing before a snapshot is played again: a result that is owed still would
 * never be given.
 */
export class Snapshots {
  readonly #scheduler: Pick<Scheduler, "inferredUpTo" | "passed">;
  readonly #clock: Clock;
  readonly #last = new Map<string, Last>();
  /** By stream: begun (null), or complete but for what is owed. */
  readonly #made = new Map<string, Snapshot | null>();
  /** Grows when what was begun may be written no more. */
  #era = 0;

  constructor(scheduler: Pick<Scheduler, "inferredUpTo" | "passed">, clock: Clock) {
    this.#scheduler = scheduler;
    this.#clock = clock;
  }

  /** Begins a snapshot when one is due (or `isForced`). @returns one that is finished */
  of(path: StreamPath, isForced = false): Snapshot | null {
    if (path.isReplaying) return null;
    if (isForced || (!this.#made.has(path.name) && this.#isDue(path))) this.#begin(path);
    const made = this.#made.get(path.name);
    if (!made) return null;
    if (Math.min(this.#scheduler.inferredUpTo(path.name), path.publisher.oldest) < made.sequence) return null;
    this.#made.delete(path.name);
    return made;
  }

  /** Readings are being erased: nothing that was made of them is written any more. */
  dropAll(): void {
    this.#made.clear();
    this.#era++;
  }

  #isDue({ name, intake, replayedFrom }: StreamPath): boolean {
    const now = this.#clock.monotonic();
    const last = this.#last.get(name) ?? { sequence: replayedFrom, at: now, bytes: 0 };
    this.#last.set(name, last);
    const readings = intake.next - last.sequence;
    return (
      readings >= Math.max(everyReadings, last.bytes * readingsPerByte) || (now - last.at >= everyMs && readings > 0)
    );
  }

  #begin(path: StreamPath): void {
    const { name, intake } = path;
    const sequence = intake.next;
    const finish = path.snapshot();
    if (!finish) return;
    this.#made.set(name, null);
    const era = this.#era;
    this.#scheduler.passed(name, () => {
      if (era !== this.#era) return;
      const bytes = finish();
      this.#made.set(name, { stream: name, name: snapshotName, sequence, bytes });
      this.#last.set(name, { sequence, at: this.#clock.monotonic(), bytes: bytes.length });
    });
  }
}
