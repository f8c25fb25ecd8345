import type { Clock } from "../base/clock.ts";

/** Small values in state.db, durable when `statePut` resolves. `Journal` fits. */
export type TrustState = {
  stateGet(name: string): Promise<Uint8Array | null>;
  statePut(name: string, value: Uint8Array): Promise<void>;
};

export type TrustedTimeOptions = {
  readonly clock: Clock;
  readonly state: TrustState;
  /** Whether the system's clock is kept by somebody (NTP, GPS). */
  isSynchronized(): boolean;
};

const seenName = "trust/seen-time";

/**
 * What time it is, as far as that is known. A clock that nobody keeps is not believed; but it cannot be earlier than
 * the latest time that a coordinator has signed, plus what has passed since then.
 */
export class TrustedTime {
  readonly #options: TrustedTimeOptions;
  #seen = 0;
  #seenAt = 0;

  constructor(options: TrustedTimeOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    const saved = await this.#options.state.stateGet(seenName);
    if (saved) this.#seen = Number(Buffer.from(saved).toString("utf8")) || 0;
    this.#seenAt = this.#options.clock.monotonic();
  }

  /** ms since 1970; null while the clock is not to be believed. */
  get now(): number | null {
    return this.#options.isSynchronized() ? this.#options.clock.now() : null;
  }

  /** It is at least so late; 0: nothing is known. */
  get atLeast(): number {
    return this.now ?? (this.#seen === 0 ? 0 : this.#seen + (this.#options.clock.monotonic() - this.#seenAt));
  }

  /** A time that somebody signed whose clock is believed; one that a kept clock here contradicts is not. */
  async saw(time: number): Promise<void> {
    const { clock, state } = this.#options;
    const { now } = this;
    if (time <= this.atLeast || (now !== null && time > now)) return;
    this.#seen = time;
    this.#seenAt = clock.monotonic();
    await state.statePut(seenName, Buffer.from(String(time)));
  }
}
