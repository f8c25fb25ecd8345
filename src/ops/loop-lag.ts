import { monitorEventLoopDelay } from "node:perf_hooks";

/** Percentiles of how late the loop was, seconds. */
export type Lag = { readonly p50: number; readonly p99: number; readonly max: number };

const resolutionMs = 20;
const none: Lag = { p50: 0, p99: 0, max: 0 };

/**
 * How late the main thread gets to its work. Node measures the time between timers, their own interval included; that is
 * taken off here. Readings are of the last one to two windows, however often they are read.
 */
export class LoopLag {
  readonly #histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  readonly #windowMs: number;
  #previous: Lag = none;
  #timer: NodeJS.Timeout | undefined;

  constructor(windowMs = 30_000) {
    this.#windowMs = windowMs;
  }

  start(): void {
    this.#histogram.enable();
    this.#timer ??= setInterval(() => this.#turn(), this.#windowMs).unref();
  }

  stop(): void {
    this.#histogram.disable();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get value(): Lag {
    const now = this.#current();
    const before = this.#previous;
    return {
      p50: Math.max(now.p50, before.p50),
      p99: Math.max(now.p99, before.p99),
      max: Math.max(now.max, before.max),
    };
  }

  #turn(): void {
    this.#previous = this.#current();
    this.#histogram.reset();
  }

  #current(): Lag {
    const histogram = this.#histogram;
    if (histogram.count === 0) return none;
    return {
      p50: lateness(histogram.percentile(50)),
      p99: lateness(histogram.percentile(99)),
      max: lateness(histogram.max),
    };
  }
}

const lateness = (ns: number): number => Math.max(0, ns / 1e9 - resolutionMs / 1e3);
