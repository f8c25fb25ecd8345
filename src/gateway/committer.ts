import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

/** Everything that one transaction is to hold, and the last message that it answers for. */
export type Load<Commit> = {
  readonly commit: Commit;
  /** Readings in it: what is lost when it has to be shed. */
  readonly readings: number;
  /** Messages up to this one may be acknowledged once it is durable. */
  readonly ticket: number;
  /** Called when it is fsynced. */
  readonly onDurable: () => void;
  /** Called when the disk would not take it: its readings are counted as dropped. */
  readonly onShed: () => void;
};

export type CommitterOptions<Commit> = {
  readonly maxDelayMs: number;
  /** Held messages (half of what the broker lets us hold) or waiting readings that start a commit before its time. */
  maxHeld(): number;
  readonly maxReadings: number;
  readonly onFull: "shed" | "hold";
  readonly clock: Clock;
  readonly log: Log;
  /** Messages that are held, and readings that no commit has taken. */
  waiting(): { held: number; readings: number };
  /** Collects what waits; null when nothing does. */
  collect(): Load<Commit> | null;
  write(commit: Commit): Promise<void>;
  /** Acknowledges messages up to a ticket. */
  release(ticket: number): void;
  /** The disk takes nothing (reason), or takes it again (null). */
  onFailing(reason: string | null): void;
};

const firstRetryMs = 250;
const maxRetryMs = 30_000;
/** A commit that fails for so long is given up where `onFull` is `shed`. */
const patienceMs = 10_000;

/**
 * Decides when a commit starts. One is in flight at a time; what arrives meanwhile goes into the next.
 *
 * - Durable before acknowledged: `release` follows `write`, never the other way round.
 * - A failed commit is written again as it was, with a growing pause. Once it has failed for 10 s, `shed` gives it up,
 *   acknowledges it and counts it; `hold` goes on trying, and the broker waits.
 */
export class Committer<Commit> {
  readonly #options: CommitterOptions<Commit>;
  #timer: NodeJS.Timeout | undefined;
  #flight: Promise<void> | undefined;
  #failingSince: number | undefined;
  /** Resolved while commits fail. */
  #failing = Promise.withResolvers<void>();
  #retryMs = firstRetryMs;
  #isStopped = false;
  #isLookDue = false;
  #endPause: (() => void) | undefined;

  constructor(options: CommitterOptions<Commit>) {
    this.#options = options;
  }

  get failingSince(): number | null {
    return this.#failingSince ?? null;
  }

  /** No commit is in flight. */
  get isIdle(): boolean {
    return this.#flight === undefined;
  }

  /**
   * Something came in: a commit follows within the longest delay, at once when much has gathered. What one turn of the loop
   * brought is looked at once, in the next.
   */
  wake(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    setImmediate(() => {
      this.#isLookDue = false;
      this.#look();
    });
  }

  #look(): void {
    if (this.#isStopped) return;
    const { maxDelayMs } = this.#options;
    if (this.#isMuch) {
      if (this.#flight === undefined) void this.#run();
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#flight === undefined) void this.#run();
        else void this.#flight.then(() => this.#run());
      }, maxDelayMs);
    }
  }

  /** More has gathered than should wait for the time to be over. */
  get #isMuch(): boolean {
    const { held, readings } = this.#options.waiting();
    return held >= this.#options.maxHeld() || readings >= this.#options.maxReadings;
  }

  /** Commits what waits now, and what is in flight; resolves when it is durable or was given up. */
  async flush(): Promise<void> {
    while (this.#flight !== undefined) await this.#flight;
    await this.#run();
  }

  /** As `flush`, but whoever only reads what is there does not wait for a disk that takes nothing. */
  async flushUnlessFailing(): Promise<void> {
    await Promise.race([this.#failing.promise, this.flush()]);
  }

  /** Ends the wait for a retry: a commit that keeps failing is left undone and unacknowledged. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#endPause?.();
  }

  #run(): Promise<void> {
    if (this.#flight !== undefined) return this.#flight;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const load = this.#options.collect();
    if (load === null) return Promise.resolve();
    const flight = this.#write(load).finally(() => {
      this.#flight = undefined;
      // Nothing more may come in before this has been taken: the link waits for it.
      if (this.#isMuch) this.wake();
    });
    this.#flight = flight;
    return flight;
  }

  async #write(load: Load<Commit>): Promise<void> {
    const { clock, log, onFull } = this.#options;
    for (;;) {
      try {
        await this.#options.write(load.commit);
        break;
      } catch (thrown) {
        const now = clock.monotonic();
        if (this.#failingSince === undefined) {
          this.#failingSince = now;
          this.#failing.resolve();
          log.error({ reason: reasonOf(thrown), readings: load.readings }, "commit failed, trying again");
        }
        this.#options.onFailing(reasonOf(thrown));
        const isHopeless = onFull === "shed" && now - this.#failingSince >= patienceMs;
        if (isHopeless) {
          log.error({ reason: reasonOf(thrown), readings: load.readings }, "readings shed: the disk takes nothing");
          load.onShed();
          this.#options.release(load.ticket);
          return;
        }
        if (this.#isStopped) return;
        await this.#pause(this.#retryMs);
        this.#retryMs = Math.min(onFull === "shed" ? patienceMs / 4 : maxRetryMs, this.#retryMs * 2);
      }
    }
    if (this.#failingSince !== undefined) {
      log.info({ failedMs: Math.round(clock.monotonic() - this.#failingSince) }, "commits work again");
      this.#failingSince = undefined;
      this.#failing = Promise.withResolvers();
      this.#retryMs = firstRetryMs;
      this.#options.onFailing(null);
    }
    load.onDurable();
    this.#options.release(load.ticket);
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
