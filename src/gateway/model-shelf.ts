import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { ModelShelf } from "../control/model-updates.ts";
import { installBundle, revertBundle, withdrawBundle } from "../inference/bundle-install.ts";
import { loadVerified } from "../inference/golden.ts";
import type { HostedModel } from "../inference/hosted-model.ts";
import { judgementNames, judgeOf } from "../inference/judge.ts";
import type { BatchResult } from "../inference/lane.ts";
import type { LiveModels } from "../inference/live-models.ts";
import type { ModelHost } from "../inference/model-host.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { Shadow, type ShadowReport, type ShadowRule } from "../inference/shadow.ts";

export type ModelShelfParts = {
  readonly dataDir: string;
  readonly live: LiveModels;
  readonly host: ModelHost;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly rule: ShadowRule;
};

/** Batches before a version is called slow: on a busy device any few may be. */
const leastBatches = 32;
/** Share of the windows that may fail after a switch. */
const maxFailed = 0.01;

/** The models of a running gateway, for those who bring new versions of them. */
export function modelShelf(parts: ModelShelfParts): ModelShelf {
  const { dataDir, live, host, scheduler, clock, rule } = parts;
  const models = join(dataDir, "models");
  const watches = new Map<string, Watch>();
  /** What the shadow run saw of the version that was active then. */
  const before = new Map<string, ShadowReport>();

  const revert = async (model: string): Promise<void> => {
    watches.get(model)?.end();
    watches.delete(model);
    if (!(await revertBundle(models, model))) await withdrawBundle(models, model);
    await live.reload(model);
  };

  return {
    async active(model) {
      return live.running(model)?.model.bundle ?? null;
    },

    async trial(candidate, signal) {
      live.check(candidate);
      const model = await loadVerified(candidate, host);
      const streams = live.running(candidate.name)?.streams ?? [];
      const shadow = new Shadow(host, model, rule, clock);
      const stop = () => shadow.stop();
      signal.addEventListener("abort", stop, { once: true });
      try {
        for (const stream of streams) scheduler.tap(stream, shadow.take);
        const report = await shadow.report;
        before.set(candidate.name, report);
        return report.reason;
      } finally {
        for (const stream of streams) scheduler.tap(stream, null);
        signal.removeEventListener("abort", stop);
        await host.unload(model);
      }
    },

    async install(model, dir) {
      const running = live.running(model);
      await installBundle(dir, models, model);
      await live.reload(model);
      const now = live.running(model);
      if (now && now.model === running?.model) {
        await revert(model);
        return live.stats.find(({ name }) => name === model)?.fault ?? "it could not be loaded";
      }
      if (now) watches.set(model, new Watch(scheduler, now.model, now.streams, rule, before.get(model)));
      return null;
    },

    revert,

    complaint(model) {
      const now = live.running(model);
      if (now?.model.isDisabled) return "it ends the model process again and again";
      return watches.get(model)?.complaint ?? null;
    },
  };
}

/** Counts how a version does from the switch on. */
class Watch {
  readonly #scheduler: Scheduler;
  readonly #streams: readonly string[];
  readonly #rule: ShadowRule;
  readonly #before: ShadowReport | undefined;
  readonly #start: { failed: number; completed: number };
  #windows = 0;
  #alarms = 0;
  #batches = 0;
  /** Time per window of the best batch, ms. */
  #best = Number.POSITIVE_INFINITY;

  constructor(
    scheduler: Scheduler,
    model: HostedModel,
    streams: readonly string[],
    rule: ShadowRule,
    before: ShadowReport | undefined,
  ) {
    this.#scheduler = scheduler;
    this.#streams = streams;
    this.#rule = rule;
    this.#before = before;
    this.#start = this.#load();
    const tap = (_: Float32Array, __: number, result: BatchResult, ran: HostedModel): void => {
      if (ran !== model) return;
      const judge = judgeOf(model.bundle.card, result.outputs, result.widths);
      this.#windows += result.n;
      this.#batches++;
      this.#best = Math.min(this.#best, result.durationMs / result.n);
      for (let row = 0; row < result.n; row++) if (judgementNames[judge.judgement(row)] === "alarm") this.#alarms++;
    };
    for (const stream of streams) scheduler.tap(stream, tap);
  }

  end(): void {
    for (const stream of this.#streams) this.#scheduler.tap(stream, null);
  }

  get complaint(): string | null {
    const { failed, completed } = this.#load();
    const lost = failed - this.#start.failed;
    if (lost > maxFailed * (completed - this.#start.completed + lost)) return `${lost} windows failed since the switch`;
    const before = this.#before;
    if (!before || before.windows === 0 || this.#windows < this.#rule.windows) return null;
    const usual = before.active.alarms / before.windows;
    if (this.#alarms / this.#windows > usual + this.#rule.alarmIncrease)
      return `${this.#alarms} of ${this.#windows} windows alarm since the switch, ${(100 * usual).toFixed(1)} % did before`;
    const msPerWindow = this.#best;
    if (this.#batches < leastBatches) return null;
    if (msPerWindow > this.#rule.freeMs && msPerWindow > this.#rule.slowdown * before.active.msPerWindow)
      return `a window takes ${msPerWindow.toFixed(2)} ms since the switch, ${before.active.msPerWindow.toFixed(2)} ms before`;
    return null;
  }

  #load() {
    const loads = this.#scheduler.stats.filter(({ stream }) => this.#streams.includes(stream));
    return {
      failed: loads.reduce((sum, { failed }) => sum + failed, 0),
      completed: loads.reduce((sum, { completed }) => sum + completed, 0),
    };
  }
}
