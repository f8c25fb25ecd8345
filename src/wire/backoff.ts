import type { Random } from "../base/random.ts";

export type BackoffLimits = {
  /** Upper end of the first pause, ms. */
  readonly baseMs: number;
  /** No pause is longer, ms. */
  readonly maxMs: number;
};

/**
 * Pauses between attempts: uniform between 0 and an end that doubles ("full jitter"), so that clients which lost the
 * same server do not come back together.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: Random;
  #attempts = 0;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Attempts since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The next pause, ms. */
  next(): number {
    const { baseMs, maxMs } = this.#limits;
    const end = Math.min(maxMs, baseMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return Math.round(this.#random() * end);
  }

  succeeded(): void {
    this.#attempts = 0;
  }
}
