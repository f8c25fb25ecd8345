import type { Clock } from "../base/clock.ts";
import type { Frame, Source } from "../base/frame.ts";
import { type Aggregate, Aggregation, openFrom } from "./aggregate.ts";

export type AggregatorOptions = {
  readonly stream: string;
  readonly fields: readonly string[];
  readonly everyMs: number;
  readonly quantiles: readonly number[];
  readonly clock: Clock;
  sourcesOf(): readonly Source[];
  /** A bounded slice of the stream's committed readings from a sequence number on. */
  read(from: number, limit: number): Promise<Frame[]>;
  /** Commits the aggregates together with the cursor: both or neither. */
  commit(aggregates: readonly Aggregate[], cursor: number): Promise<void>;
};

const sliceReadings = 8_192;
/** Groups that one commit takes: a long backlog goes in several. */
const maxGroups = 4_096;

/** Brings a stream's `aggregated` cursor forward over the windows of time that are complete. */
export class Aggregator {
  readonly #options: AggregatorOptions;
  #cursor: number;
  #isRunning = false;
  readonly counters = { aggregates: 0 };

  constructor(options: AggregatorOptions, cursor: number) {
    this.#options = options;
    this.#cursor = cursor;
  }

  get cursor(): number {
    return this.#cursor;
  }

  /**
   * Aggregates what is complete; `isFinal` closes every window, e.g. at the end of a replay.
   * @returns how many aggregates were committed
   */
  async run(isFinal = false): Promise<number> {
    if (this.#isRunning) return 0;
    this.#isRunning = true;
    try {
      let made = 0;
      for (;;) {
        const step = await this.#step(isFinal);
        made += step;
        if (step === 0) return made;
      }
    } finally {
      this.#isRunning = false;
    }
  }

  async #step(isFinal: boolean): Promise<number> {
    const { stream, fields, everyMs, quantiles, clock, sourcesOf, read, commit } = this.#options;
    const frames: Frame[] = [];
    let next = this.#cursor;
    // One slice more than is needed to close a window tells that it is closed: read until something is.
    for (let slices = 0; slices < 16; slices++) {
      const slice = await read(next, sliceReadings);
      const last = slice.at(-1);
      if (!last) break;
      frames.push(...slice);
      next = last.first + last.count;
      if (frames.reduce((sum, frame) => sum + frame.count, 0) >= 4 * sliceReadings) break;
    }
    if (frames.length === 0) return 0;
    const open = isFinal ? next : openFrom(frames, everyMs, clock.monotonic(), clock.bootId);
    const end = Math.min(open, next);
    if (end <= this.#cursor) return 0;
    const aggregation = new Aggregation(everyMs);
    let upTo = this.#cursor;
    for (const frame of frames) {
      if (frame.first >= end || aggregation.size >= maxGroups) break;
      aggregation.add(frame, end);
      upTo = Math.min(end, frame.first + frame.count);
    }
    const aggregates = aggregation.take(stream, fields, sourcesOf(), quantiles);
    await commit(aggregates, upTo);
    this.#cursor = upTo;
    this.counters.aggregates += aggregates.length;
    return aggregates.length;
  }
}
