import { hash } from "node:crypto";
import { type Frame, renderSource, type Source } from "../base/frame.ts";

/** Statistics of one field over one window of time; `std` is of the population. */
export type FieldAggregate = {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly std: number;
  /** By quantile as text: `{"0.5": 21.4}`. */
  readonly quantiles: Readonly<Record<string, number>>;
};

/**
 * One source's readings in one window of time [from, to), ms UTC. Readings that arrive when their window has been sent
 * make another part of it: counts and sums of the parts add, quantiles do not.
 */
export type Aggregate = {
  readonly id: string;
  readonly stream: string;
  readonly source: Source;
  readonly from: number;
  readonly to: number;
  readonly readings: number;
  readonly fields: Readonly<Record<string, FieldAggregate>>;
};

/** Values kept for the quantiles of one field in one window; beyond it every second one is left out, and so on. */
const maxKept = 4_096;

class FieldStatistics {
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  #mean = 0;
  #squares = 0;
  #kept: number[] = [];
  #stride = 1;

  /** Welford's update: no cancellation between large sums. */
  add(value: number): void {
    if (this.count % this.#stride === 0) {
      if (this.#kept.length === maxKept) {
        this.#kept = this.#kept.filter((_, i) => i % 2 === 0);
        this.#stride *= 2;
      }
      this.#kept.push(value);
    }
    this.count++;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    const delta = value - this.#mean;
    this.#mean += delta / this.count;
    this.#squares += delta * (value - this.#mean);
  }

  summary(quantiles: readonly number[]): FieldAggregate {
    const { count, min, max } = this;
    const sorted = Float64Array.from(this.#kept).sort();
    return {
      count,
      min,
      max,
      mean: this.#mean,
      std: Math.sqrt(this.#squares / count),
      quantiles: Object.fromEntries(quantiles.map((q) => [String(q), quantileOf(sorted, q)])),
    };
  }
}

/** Linear between the nearest ranks, as numpy's default. */
export function quantileOf(sorted: Float64Array, quantile: number): number {
  const rank = quantile * (sorted.length - 1);
  const below = sorted[Math.floor(rank)] ?? Number.NaN;
  const above = sorted[Math.ceil(rank)] ?? Number.NaN;
  return below + (above - below) * (rank - Math.floor(rank));
}

type Group = {
  readonly source: number;
  readonly from: number;
  readonly first: number;
  readings: number;
  fields: FieldStatistics[];
};

/** Groups readings by source and window of time. One use: add frames in order, then `take`. */
export class Aggregation {
  readonly #everyMs: number;
  readonly #groups = new Map<string, Group>();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** Adds the readings of a frame whose sequence number is below `end`. */
  add(frame: Frame, end: number): void {
    const count = Math.min(frame.count, end - frame.first);
    for (let i = 0; i < count; i++) {
      const source = frame.source[i] ?? 0;
      const from = Math.floor((frame.ts[i] ?? 0) / this.#everyMs) * this.#everyMs;
      const key = `${source}/${from}`;
      let group = this.#groups.get(key);
      if (!group) {
        const fields = frame.fields.map(() => new FieldStatistics());
        group = { source, from, first: frame.first + i, readings: 0, fields };
        this.#groups.set(key, group);
      }
      group.readings++;
      frame.values.forEach((column, field) => {
        const value = column[i] ?? Number.NaN;
        if (Number.isFinite(value)) group.fields[field]?.add(value);
      });
    }
  }

  /** The aggregates, oldest window first. */
  take(stream: string, fields: readonly string[], sources: readonly Source[], quantiles: readonly number[]) {
    const groups = [...this.#groups.values()].sort((a, b) => a.from - b.from || a.source - b.source);
    this.#groups.clear();
    return groups.map((group): Aggregate => {
      const source = sources[group.source] ?? {};
      const identity = [stream, renderSource(source), group.from, group.first].join("\0");
      return {
        id: hash("sha256", identity, "hex").slice(0, 32),
        stream,
        source,
        from: group.from,
        to: group.from + this.#everyMs,
        readings: group.readings,
        fields: Object.fromEntries(
          fields.flatMap((name, field) => {
            const statistics = group.fields[field];
            return statistics && statistics.count > 0 ? [[name, statistics.summary(quantiles)]] : [];
          }),
        ),
      };
    });
  }
}

/** What is still missing after all windows have been looked at: nothing, so all can be sent. */
export const allComplete = Number.POSITIVE_INFINITY;

/**
 * The sequence number of the first reading whose window can still grow: aggregates go up to it. A window is closed when
 * its source has gone past it, or has sent nothing for a while.
 * @param now  monotonic ms of the frames' boot
 */
export function openFrom(
  frames: readonly Frame[],
  everyMs: number,
  now: number,
  boot: string,
  graceMs = 5_000,
): number {
  const newest = new Map<number, { from: number; first: number; arrived: number; boot: string }>();
  for (const frame of frames) {
    for (let i = 0; i < frame.count; i++) {
      const source = frame.source[i] ?? 0;
      const from = Math.floor((frame.ts[i] ?? 0) / everyMs) * everyMs;
      const known = newest.get(source);
      const arrived = frame.arrived[i] ?? 0;
      if (!known || from > known.from) newest.set(source, { from, first: frame.first + i, arrived, boot: frame.boot });
      else if (from === known.from) {
        known.arrived = arrived;
        known.boot = frame.boot;
      }
    }
  }
  let first = allComplete;
  for (const window of newest.values()) {
    const isQuiet = window.boot !== boot || now - window.arrived > everyMs + graceMs;
    if (!isQuiet) first = Math.min(first, window.first);
  }
  return first;
}
