import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Card } from "./card.ts";
import { headBytes } from "./framing.ts";
import type { HostedModel } from "./hosted-model.ts";
import { judgementNames, judgeOf } from "./judge.ts";
import type { BatchResult } from "./lane.ts";
import type { ModelHost } from "./model-host.ts";

/** What a candidate may do at most beside the version that runs. */
export type ShadowRule = {
  /** Windows that are compared. */
  readonly windows: number;
  /** Time for them, ms; what has been seen by then counts. */
  readonly maxMs: number;
  /** By how much the share of windows that alarm may be larger. */
  readonly alarmIncrease: number;
  /** How many times the time per window it may take, once that is above `freeMs`. */
  readonly slowdown: number;
  /** Time per window that is never too much, ms. */
  readonly freeMs: number;
};

export const shadowDefaults: ShadowRule = {
  windows: 256,
  maxMs: 600_000,
  alarmIncrease: 0.05,
  slowdown: 3,
  freeMs: 2,
};

/** One version's side of the comparison: its time is that of the best batch, since other work only ever adds to it. */
export type ShadowSide = { readonly alarms: number; readonly msPerWindow: number };

export type ShadowReport = {
  readonly windows: number;
  readonly active: ShadowSide;
  readonly candidate: ShadowSide;
  /** Why the candidate should not take over; null when nothing speaks against it. */
  readonly reason: string | null;
};

const maxBatch = 64;

type Side = { alarms: number; best: number };

/**
 * Runs a candidate on the windows that the active version has just judged: beside it, one small batch at a time, with
 * no effect on what is published. Give `take` to the scheduler's `tap`.
 */
export class Shadow {
  readonly #host: Pick<ModelHost, "run">;
  readonly #candidate: HostedModel;
  readonly #rule: ShadowRule;
  readonly #clock: Clock;
  readonly #active: Side = { alarms: 0, best: Number.POSITIVE_INFINITY };
  readonly #other: Side = { alarms: 0, best: Number.POSITIVE_INFINITY };
  readonly #end = Promise.withResolvers<ShadowReport>();
  readonly #timer: NodeJS.Timeout;
  #windows = 0;
  #isBusy = false;
  #isOver = false;

  constructor(host: Pick<ModelHost, "run">, candidate: HostedModel, rule: ShadowRule, clock: Clock) {
    this.#host = host;
    this.#candidate = candidate;
    this.#rule = rule;
    this.#clock = clock;
    this.#timer = setTimeout(() => this.#finish(null), rule.maxMs);
    this.#timer.unref();
  }

  /** Resolves when enough has been compared, when the time is up, or as soon as something speaks against it. */
  get report(): Promise<ShadowReport> {
    return this.#end.promise;
  }

  /** Ends it before its time. */
  stop(): void {
    this.#finish("it was broken off");
  }

  readonly take = (windows: Float32Array, width: number, result: BatchResult, model: HostedModel): void => {
    if (this.#isBusy || this.#isOver) return;
    this.#isBusy = true;
    const n = Math.min(result.n, maxBatch, this.#rule.windows - this.#windows);
    const frame = new Uint8Array(headBytes + n * width * 4);
    new Float32Array(frame.buffer, headBytes).set(windows.subarray(0, n * width));
    const active = { alarms: alarmsOf(result, model.bundle.card, n), best: result.durationMs / result.n };
    void this.#compare(frame, n, width, active);
  };

  async #compare(frame: Uint8Array, n: number, width: number, active: Side): Promise<void> {
    const { card } = this.#candidate.bundle;
    const before = this.#clock.monotonic();
    let outputs: Record<string, Float32Array> = {};
    try {
      await this.#host.run(this.#candidate, frame, n, width, (body) => {
        outputs = split(body, this.#candidate, n);
      });
    } catch (thrown) {
      this.#finish(`it fails on live windows: ${reasonOf(thrown)}`);
      return;
    }
    if (this.#isOver) return;
    if (Object.values(outputs).some((values) => !values.every(Number.isFinite))) {
      this.#finish("it gives numbers that are not finite on live windows");
      return;
    }
    const widths = Object.fromEntries(card.outputs.map(({ name }, k) => [name, this.#candidate.widths[k] ?? 0]));
    this.#other.alarms += alarmsOf({ outputs, widths }, card, n);
    this.#other.best = Math.min(this.#other.best, (this.#clock.monotonic() - before) / n);
    this.#active.alarms += active.alarms;
    this.#active.best = Math.min(this.#active.best, active.best);
    this.#windows += n;
    this.#isBusy = false;
    if (this.#windows >= this.#rule.windows) this.#finish(null);
  }

  #finish(fault: string | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    const windows = this.#windows;
    const side = ({ alarms, best }: Side) => ({ alarms, msPerWindow: windows === 0 ? 0 : best });
    const [active, candidate] = [side(this.#active), side(this.#other)];
    this.#end.resolve({ windows, active, candidate, reason: fault ?? this.#excess(windows, active, candidate) });
  }

  #excess(windows: number, active: ShadowSide, candidate: ShadowSide): string | null {
    const { alarmIncrease, slowdown, freeMs } = this.#rule;
    if (candidate.alarms - active.alarms > alarmIncrease * windows)
      return `it alarms on ${candidate.alarms} of ${windows} live windows, the active version on ${active.alarms}`;
    const { msPerWindow } = candidate;
    if (msPerWindow > freeMs && msPerWindow > slowdown * active.msPerWindow)
      return `it takes ${msPerWindow.toFixed(2)} ms a window, the active version ${active.msPerWindow.toFixed(2)} ms`;
    return null;
  }
}

const isAlarm = (judgement: number): boolean => judgementNames[judgement] === "alarm";

/** Of the first `n` windows, before hysteresis. */
function alarmsOf({ outputs, widths }: Pick<BatchResult, "outputs" | "widths">, card: Card, n: number): number {
  const judge = judgeOf(card, outputs, widths);
  let alarms = 0;
  for (let row = 0; row < n; row++) if (isAlarm(judge.judgement(row))) alarms++;
  return alarms;
}

/** Outputs stand one after the other in an answer. */
function split(body: Uint8Array, model: HostedModel, n: number): Record<string, Float32Array> {
  const values = new Float32Array(new Uint8Array(body).buffer);
  const outputs: Record<string, Float32Array> = {};
  let at = 0;
  model.bundle.card.outputs.forEach(({ name }, k) => {
    const size = n * (model.widths[k] ?? 0);
    outputs[name] = values.subarray(at, at + size);
    at += size;
  });
  return outputs;
}
