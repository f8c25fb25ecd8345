import type { Clock } from "../base/clock.ts";

/** Lets something through at a mean rate, with bursts; may be overdrawn by one taking. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  /** @param perSecond  what flows in each second, up to `burst` */
  constructor(perSecond: number, burst: number, clock: Clock) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#at = clock.monotonic();
  }

  /** How long to wait before something may be taken, ms; 0 when it may be now. */
  get waitMs(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#tokens > 0 ? 0 : Math.ceil((1 - this.#tokens) / this.#perMs);
  }

  take(amount: number): void {
    this.#tokens -= amount;
  }
}
