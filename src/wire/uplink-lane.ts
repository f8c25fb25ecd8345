import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { BatchLane } from "./batch-head.ts";
import type { OwedEntry, OwedSource } from "./owed-source.ts";
import { UplinkSegment } from "./uplink-segment.ts";

/** With less than this behind it, what is live needs no way of its own. */
const backlogFrom = 512;
/** After so many outages in the middle of a backlog the rest goes in order. */
const maxSegments = 4;

/**
 * What one source owes, as segments: the last one is live, those before it are the backlog of outages. What has been
 * settled is removed from the source up to the first number that is still owed, seldom: each removal is a commit.
 */
export class UplinkLane {
  readonly source: OwedSource;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settleMs: number;
  #segments: UplinkSegment[];
  #settledUpTo: number;
  #settledAt: number;
  #settling: Promise<void> | undefined;
  /** Nothing was there when last looked. */
  isDry = false;
  /** Bytes of a batch by bytes of its lines: learned, so that batches come out as large as they may be. */
  ratio = 1;

  constructor(source: OwedSource, settleMs: number, clock: Clock, log: Log) {
    this.source = source;
    this.#clock = clock;
    this.#log = log;
    this.#settleMs = settleMs;
    this.#segments = [new UplinkSegment(source, source.settledUpTo)];
    this.#settledUpTo = source.settledUpTo;
    this.#settledAt = clock.monotonic();
  }

  get lane(): BatchLane {
    return this.source.lane;
  }

  get live(): UplinkSegment {
    return this.#segments.at(-1) as UplinkSegment;
  }

  /** The oldest backlog; undefined when there is none. */
  get backlog(): UplinkSegment | undefined {
    return this.#segments.length > 1 ? this.#segments[0] : undefined;
  }

  /** Nothing below this number will come again. */
  get floor(): number {
    return this.#segments[0]?.floor ?? 0;
  }

  /** Entries that wait and are to go nowhere any more: what was sent already is beyond reach. */
  drop(isGone: (entry: OwedEntry) => boolean): void {
    for (const segment of this.#segments) segment.drop(isGone);
  }

  get loaded(): readonly OwedEntry[] {
    return this.#segments.flatMap(({ loaded }) => loaded);
  }

  /** After an outage: what has piled up becomes backlog, what comes from now on is live. */
  async divide(): Promise<void> {
    if (this.lane === "alarm" || this.#segments.length >= maxSegments) return;
    const { live } = this;
    const newest = await this.source.newest(live.position);
    if (newest - live.floor < backlogFrom) return;
    this.#segments.push(new UplinkSegment(this.source, live.endAt(newest)));
    this.#log.info({ lane: this.lane, from: live.floor, to: newest }, "a backlog is sent beside what is live");
  }

  /** Forgets segments that are done and, when it is time, tells the source what is settled. */
  advance(): Promise<void> | undefined {
    while (this.#segments.length > 1 && this.#segments[0]?.isDone) this.#segments.shift();
    const isEarly = this.#clock.monotonic() < this.#settledAt + this.#settleMs;
    return isEarly || this.#settling !== undefined || this.floor - 1 <= this.#settledUpTo ? undefined : this.flush();
  }

  /** When `advance` has something to do; Infinity when not before something else happens. */
  get dueAt(): number {
    const isIdle = this.#settling !== undefined || this.floor - 1 <= this.#settledUpTo;
    return isIdle ? Number.POSITIVE_INFINITY : this.#settledAt + this.#settleMs;
  }

  /** Tells the source what is settled. A failure is tried again with the next: until then it is sent once more. */
  async flush(): Promise<void> {
    await this.#settling;
    const upTo = this.floor - 1;
    if (upTo <= this.#settledUpTo) return;
    this.#settledAt = this.#clock.monotonic();
    this.#settling = this.source
      .settle(upTo)
      .then(
        () => {
          this.#settledUpTo = Math.max(upTo, this.#settledUpTo);
        },
        (thrown: unknown) => this.#log.warn({ lane: this.lane, reason: reasonOf(thrown) }, "a receipt was not stored"),
      )
      .finally(() => {
        this.#settling = undefined;
      });
    await this.#settling;
  }
}
