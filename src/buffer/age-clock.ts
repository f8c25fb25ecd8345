/**
 * How old readings are, without trusting the wall clock: it may start at 1970 or jump by years, and neither may remove
 * anything. The age clock runs with the monotonic clock; over a restart it takes over what the wall clock says has
 * passed, up to a day.
 */
export class AgeClock {
  readonly #base: number;
  readonly #start: number;

  /**
   * @param saved  age and wall clock (ms) when it was last saved, null at first
   * @param wall  wall clock now, ms
   * @param monotonic  monotonic clock now, ms
   */
  constructor(saved: { readonly age: number; readonly wall: number } | null, wall: number, monotonic: number) {
    const away = saved ? Math.min(maxAwayMs, Math.max(0, wall - saved.wall)) : 0;
    this.#base = (saved?.age ?? 0) + away;
    this.#start = monotonic;
  }

  /** Age of the journal, ms: whole. */
  now(monotonic: number): number {
    return Math.floor(this.#base + monotonic - this.#start);
  }
}

const maxAwayMs = 86_400_000;
