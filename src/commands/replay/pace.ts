/** Messages a second, or times faster than they were recorded; speed 0: as fast as the broker takes them. */
export type PaceOptions = { readonly rate?: number | undefined; readonly speed?: number | undefined };

/** When each message is due, counted from the first, ms. */
export class Pace {
  readonly #rate: number | undefined;
  readonly #speed: number;
  #sent = 0;
  #firstTs: number | null = null;
  /** Messages without a time, which go with the one before them. */
  #dueMs = 0;

  constructor({ rate, speed = 1 }: PaceOptions) {
    this.#rate = rate;
    this.#speed = speed;
  }

  /** True: no message's time matters. */
  get isFree(): boolean {
    return this.#rate !== undefined || this.#speed === 0;
  }

  /** @param ts  when the next message was recorded, ms; null: unknown. Times that go back are due at once. */
  due(ts: number | null): number {
    const n = this.#sent++;
    if (this.#rate !== undefined) return (n * 1000) / this.#rate;
    if (this.#speed === 0) return 0;
    if (ts !== null) {
      this.#firstTs ??= ts;
      this.#dueMs = Math.max(this.#dueMs, (ts - this.#firstTs) / this.#speed);
    }
    return this.#dueMs;
  }
}
