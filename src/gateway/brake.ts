import type { Log } from "../base/log.ts";

/** What may be behind: the models with the windows, the journal with the readings, the broker with its answers to results. */
export type BrakeReason = "models" | "journal" | "results";

export type BrakeOptions = {
  /** Stops and goes on reading the site's broker. */
  pause(): void;
  resume(): void;
  readonly log: Log;
  /** Longest pause, ms. */
  readonly patienceMs?: number;
};

/** Readings that wait for the journal, beyond which it is behind: an intake refuses at twice as many. */
const crowdedReadings = 32_768;

/**
 * Reads nothing from the site's broker for a moment while something is behind, so that the broker waits instead of readings
 * being given up here. Whoever publishes with QoS 0 has no acknowledgement to wait for.
 *
 * A pause is bounded: it holds up every stream, and a broker that waits for long drops messages that nobody counts. When its
 * time is over what is behind gives up work by its own rule, counted, until it has caught up.
 */
export class Brake {
  readonly #options: BrakeOptions;
  readonly #patienceMs: number;
  readonly #reasons = new Set<BrakeReason>();
  #timer: NodeJS.Timeout | undefined;
  /** The pause was too long; there is none until all have caught up. */
  #isSpent = false;
  readonly counters = { pauses: 0, spent: 0 };

  constructor(options: BrakeOptions) {
    this.#options = options;
    this.#patienceMs = options.patienceMs ?? 5_000;
  }

  get isPaused(): boolean {
    return this.#timer !== undefined;
  }

  /** Says whether one of them is behind; it may be said again and again. */
  set(reason: BrakeReason, isBehind: boolean): void {
    if (isBehind === this.#reasons.has(reason)) return;
    if (isBehind) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    if (this.#reasons.size === 0) {
      this.#isSpent = false;
      this.release();
    } else if (!this.isPaused && !this.#isSpent) this.#pause();
  }

  /** Says how many readings wait for the journal. */
  noteReadings(waiting: number): void {
    if (waiting >= crowdedReadings) this.set("journal", true);
    else if (waiting < crowdedReadings / 2) this.set("journal", false);
  }

  /** Ends a pause, whatever is behind. */
  release(): void {
    if (!this.isPaused) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#options.resume();
  }

  #pause(): void {
    this.counters.pauses++;
    this.#timer = setTimeout(() => {
      this.#isSpent = true;
      const facts = { behind: [...this.#reasons], pausedMs: this.#patienceMs };
      if (this.counters.spent++ === 0)
        this.#options.log.warn(facts, "more comes in than can be worked off: what is too much is dropped and counted");
      this.release();
    }, this.#patienceMs);
    this.#options.pause();
  }
}
