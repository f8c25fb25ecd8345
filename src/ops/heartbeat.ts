import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Health } from "./health.ts";

/** The part of the health that the heartbeat itself proves: the main thread's loop turns. */
export const loopPart = "loop";

/** A beat that comes so much late means that something held the main thread, ms. */
const heldUpMs = 1_000;
/** The kind of work that a probe asks for. */
const signOfLife = "a sign of life";

export type HeartbeatOptions = {
  readonly health: Health;
  /**
   * Asks a part for a sign of life, by part name: a ping that its own thread or process has to answer. A rejection is a
   * sign of life, too: it degrades the part.
   */
  readonly probes: Readonly<Record<string, () => Promise<unknown>>>;
  readonly intervalMs: number;
  readonly clock: Clock;
  /** Pets systemd's watchdog. */
  pet(): void;
  /** Told at every change of the summary line. */
  onSummary(text: string): void;
};

/**
 * Asks every part for a sign of life at each beat and pets the watchdog while all vital ones give it. There is no bare
 * timer: a beat proves nothing but that the loop turns.
 */
export class Heartbeat implements Component {
  readonly name = "heartbeat";
  readonly #options: HeartbeatOptions;
  readonly #asked = new Set<string>();
  /** Parts whose trouble the probe told, and the probe alone may end. */
  readonly #refusing = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #lastBeat: number | undefined;
  #summary = "";

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.beat();
    this.#timer = setInterval(() => this.beat(), this.#options.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  beat(): void {
    const { health, probes, pet, onSummary } = this.#options;
    this.#proveLoop();
    // Judged before asking anew: a part has had a whole interval to answer.
    health.check();
    if (health.isAlive) pet();
    for (const [part, probe] of Object.entries(probes)) if (!this.#asked.has(part)) void this.#ask(part, probe);
    const summary = health.summary;
    if (summary !== this.#summary) {
      this.#summary = summary;
      onSummary(summary);
    }
  }

  #proveLoop(): void {
    const { health, clock, intervalMs } = this.#options;
    const now = clock.monotonic();
    const lateMs = this.#lastBeat === undefined ? 0 : now - this.#lastBeat - intervalMs;
    this.#lastBeat = now;
    health.progress(loopPart);
    if (lateMs > heldUpMs) health.degrade(loopPart, `held up for ${Math.round(lateMs)} ms`);
    else health.ready(loopPart);
  }

  async #ask(part: string, probe: () => Promise<unknown>): Promise<void> {
    const { health } = this.#options;
    this.#asked.add(part);
    health.expect(part, signOfLife);
    try {
      await probe();
      if (this.#refusing.delete(part)) health.ready(part);
    } catch (thrown) {
      this.#refusing.add(part);
      health.degrade(part, reasonOf(thrown));
    } finally {
      this.#asked.delete(part);
      health.progress(part, signOfLife);
    }
  }
}
