import { join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { type Frame, renderSource } from "../../base/frame.ts";
import { silentLog } from "../../base/log.ts";
import type { Verdict } from "../../base/result.ts";
import type { Config } from "../../config/config.ts";
import type { StreamPath } from "../../gateway/stream-path.ts";
import { openStream } from "../../gateway/streams.ts";
import type { BatchResult } from "../../inference/lane.ts";
import { LiveModels } from "../../inference/live-models.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { Registry } from "../../inference/registry.ts";
import { Scheduler } from "../../inference/scheduler.ts";
import { DeadLetters } from "../../ingest/dead-letter.ts";
import { Cleaning } from "./cleaning.ts";
import { outputsOf } from "./outputs.ts";

/** What became of one reading of a message. */
export type ReadingSteps = {
  readonly source: string;
  readonly ts: number;
  /** As decoded; null: the payload lacks it. */
  readonly fields: Readonly<Record<string, number | null>>;
  /** As it goes into the window, after cleaning and transformations; null: it does not. Absent without a model. */
  readonly cleaned?: Readonly<Record<string, number>> | null;
};

/** What became of one message in one stream. */
export type Steps = {
  readonly stream: string;
  readonly readings: readonly ReadingSteps[];
  /** Why the payload became a dead letter. */
  readonly dead?: { readonly code: string; readonly reason: string };
  /** Readings or points that reached no window, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** "3/16" of the last reading's source. Absent without a model. */
  readonly window?: string;
  /** One for each window that the message completed. */
  readonly results: readonly {
    readonly model: string;
    readonly outputs: Readonly<Record<string, number | readonly number[]>>;
  }[];
  /** Of the source, behind the hysteresis. */
  readonly verdict: Verdict;
  /** Results that the daemon would publish. */
  readonly published: number;
};

const noState = { sources: [], next: 0, cursors: { inferred: 0, aggregated: 0, uplinked: 0 } };

type Lane = { readonly path: StreamPath; readonly cleaning: Cleaning | undefined; readonly letters: DeadLetters };

/**
 * Streams as the daemon has them, models included, without broker and journal: messages go in by hand, one at a time,
 * and every step can be seen.
 */
export class Trial {
  readonly #config: Config;
  readonly #host: ModelHost;
  readonly #scheduler: Scheduler;
  readonly #registry: Registry;
  readonly #models: LiveModels;
  readonly #lanes = new Map<string, Lane>();
  readonly #clock: Clock;
  #arrived: number | undefined;
  #batches: { stream: string; model: string; outputs: Steps["results"][number]["outputs"] }[] = [];
  #published = 0;
  #lost: string[] = [];

  constructor(config: Config) {
    this.#config = config;
    this.#clock = { ...systemClock, now: () => this.#arrived ?? systemClock.now() };
    const parts = { clock: this.#clock, log: silentLog };
    const { threads, maxBatch, providers, dir } = config.models;
    this.#host = new ModelHost({ ...parts, threads, maxBatch, providers });
    this.#scheduler = new Scheduler({
      ...parts,
      host: this.#host,
      onResults: (batch) => this.#onResults(batch),
      onLost: ({ stream, reason }) => this.#lost.push(`${stream}: ${reason}`),
    });
    this.#registry = new Registry({ dirs: [join(config.gateway.dataDir, "models"), dir] });
    this.#models = new LiveModels({ ...parts, registry: this.#registry, host: this.#host, onSwap: () => {} });
  }

  /** @throws TidegateError as `openStream` */
  async start(names: readonly string[], signal: AbortSignal): Promise<void> {
    if (names.some((name) => this.#config.streams[name]?.model !== undefined)) await this.#host.start(signal);
    for (const name of names) this.#lanes.set(name, await this.#open(name));
  }

  async stop(): Promise<void> {
    await this.#host.stop(2_000);
  }

  async #open(name: string): Promise<Lane> {
    const letters = new DeadLetters();
    const path = await openStream(name, noState, {
      config: this.#config,
      models: this.#models,
      scheduler: this.#scheduler,
      link: { send: () => null, publish: async () => ({ reason: 0 }) },
      letters,
      clock: this.#clock,
      log: silentLog,
      onResult: () => {
        this.#published++;
      },
    });
    if (path.config.model === undefined) return { path, cleaning: undefined, letters };
    const { card } = await this.#registry.open(path.config.model);
    const columns = card.fields.map((field) => field.name);
    const cleaning = new Cleaning(path.config, path.intake.fields, columns);
    return { path, cleaning, letters };
  }

  /**
   * Sends one message through every stream that takes its topic.
   * @param arrivedAt  when it arrived, ms UTC; absent: now
   * @returns what each of them made of it; none: no stream takes the topic
   * @throws TidegateError MODEL_RUN_FAILED
   */
  async take(topic: string, payload: Uint8Array, arrivedAt?: number): Promise<Steps[]> {
    this.#arrived = arrivedAt;
    const all: Steps[] = [];
    for (const [name, lane] of this.#lanes) {
      const origin = lane.path.intake.originOf(topic);
      if (origin === null) continue;
      const before = { ...lane.path.dropped };
      this.#batches = [];
      this.#published = 0;
      lane.path.intake.accept(origin, payload, "no", 1);
      await this.#scheduler.drained();
      if (this.#lost.length > 0)
        throw new TidegateError("MODEL_RUN_FAILED", { reason: `windows without a result (${this.#lost.join(", ")})` });
      all.push(this.#stepsOf(name, lane, before));
    }
    return all;
  }

  #stepsOf(name: string, { path, cleaning, letters }: Lane, before: Readonly<Record<string, number>>): Steps {
    const { frame } = path.intake.take();
    const [letter] = letters.take();
    const last = frame ? (frame.source[frame.count - 1] ?? 0) : -1;
    const state = path.sources[last];
    return {
      stream: name,
      readings: frame ? readingsOf(frame, path, cleaning) : [],
      ...(letter ? { dead: { code: letter.code, reason: letter.reason } } : {}),
      dropped: Object.fromEntries(
        Object.entries(path.dropped).flatMap(([reason, count]) => {
          const more = count - (before[reason] ?? 0);
          return more > 0 ? [[reason, more]] : [];
        }),
      ),
      ...(path.windowSize === null || !state ? {} : { window: `${state.fill}/${path.windowSize}` }),
      results: this.#batches.filter(({ stream }) => stream === name).map(({ model, outputs }) => ({ model, outputs })),
      verdict: state?.verdict ?? null,
      published: this.#published,
    };
  }

  #onResults(batch: BatchResult): void {
    for (let row = 0; row < batch.n; row++)
      this.#batches.push({
        stream: batch.stream,
        model: `${batch.model} ${batch.version}`,
        outputs: outputsOf(batch, row),
      });
    this.#lanes.get(batch.stream)?.path.onResults(batch);
  }
}

function readingsOf(frame: Frame, path: StreamPath, cleaning: Cleaning | undefined): ReadingSteps[] {
  return Array.from({ length: frame.count }, (_, i) => {
    const row = Float64Array.from(frame.values, (column) => column[i] ?? Number.NaN);
    const fields = Object.fromEntries(
      frame.fields.map((field, k) => [field, Number.isNaN(row[k]) ? null : (row[k] ?? null)]),
    );
    const source = frame.source[i] ?? 0;
    const cleaned = cleaning?.push(
      source,
      frame.first + i,
      frame.ts[i] ?? 0,
      frame.arrived[i] ?? 0,
      row,
      frame.flags[i] ?? 0,
    );
    return {
      source: renderSource(path.intake.sources[source] ?? {}),
      ts: frame.ts[i] ?? 0,
      fields,
      ...(cleaned === undefined ? {} : { cleaned }),
    };
  });
}
