import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { sliceFrame } from "../buffer/frame-slice.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import type { KeyRing } from "../crypto/key-ring.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import type { ModelHost } from "../inference/model-host.ts";
import { installBundle, settleBundles } from "../train/candidate-bundle.ts";
import { closedGate, type GateLimits, readDevice } from "../train/gates.ts";
import { type BundleOutcome, trainBundle } from "../train/train-bundle.ts";
import type { ReadingSlice, TrainingEvent, TrainingJob } from "../train/training-job.ts";
import { settingsOf } from "../train/training-settings.ts";
import type { Job } from "./schedules.ts";
import { registryOf } from "./streams.ts";
import { TrainingFiles, type TrainingOrder } from "./training-files.ts";

export type TrainingsOptions = {
  readonly config: Config;
  readonly version: string;
  readonly keys: Pick<KeyRing, "storageRoot">;
  readonly journal: Pick<Journal, "read" | "stateOf" | "stateGet" | "statePut">;
  readonly host: ModelHost;
  readonly clock: Clock;
  readonly log: Log;
  readonly niceness?: number;
};

export type TrainingRequest = {
  readonly model: string;
  /** Default: the first stream of the configuration that runs the model. */
  readonly stream?: string;
  /** Keys of the card's `train` that differ. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly resume?: "auto" | "require" | "fresh";
  /** Train however few readings there are. */
  readonly isForced?: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainingEvent) => void;
};

/** `installed`: the new version took over. `kept`: it lies in `dir`, and the old one stays. */
export type TrainingReport = {
  readonly model: string;
  readonly stream: string;
  readonly outcome: "installed" | "kept" | "stopped" | "diverged" | "skipped";
  readonly version: number;
  readonly reasons: readonly string[];
  readonly dir?: string;
  readonly result?: Omit<BundleOutcome["result"], "candidate">;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly before?: Readonly<Record<string, number>>;
  readonly baselines?: Readonly<Record<string, Readonly<Record<string, number>>>>;
};

type Doing = { readonly model: string; readonly stream: string; state: string; epoch: number; epochs: number };

const sliceReadings = 2_048;
const checkpointEveryMs = 30_000;
/** A start goes on with what an earlier life left after so long: the site's backlog comes first. */
const resumeAfterMs = 30_000;
const waitMs = 30_000;
const maxAttempts = 3;

/** Trains the models of the gateway's streams on the gateway's own buffer, one at a time, each in a child process. */
export class Trainings implements Component {
  readonly name = "trainings";
  readonly #options: TrainingsOptions;
  readonly #files: TrainingFiles;
  readonly #stop = new AbortController();
  /** By model and outcome. */
  readonly #outcomes = new Map<string, { model: string; outcome: string; count: number }>();
  #doing: Doing | undefined;
  #last: { at: number; model: string; outcome: string; reasons: readonly string[] } | undefined;
  /** One after the other: two trainings would take each other's memory. */
  #queue: Promise<unknown> = Promise.resolve();
  #resuming: NodeJS.Timeout | undefined;

  constructor(options: TrainingsOptions) {
    this.#options = options;
    const { config, keys, journal } = options;
    this.#files = new TrainingFiles(config.gateway.dataDir, keys.storageRoot, journal);
  }

  get status() {
    return { doing: this.#doing ?? null, last: this.#last ?? null, outcomes: [...this.#outcomes.values()] };
  }

  /** For the schedules. */
  get jobs(): Job[] {
    const { training } = this.#options.config;
    if (!training.enabled) return [];
    return [{ name: "training", schedule: training.schedule, run: () => this.runAll(training.jitter) }];
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { config, log } = this.#options;
    await settleBundles(join(config.gateway.dataDir, "models"));
    if (!config.training.enabled) return;
    this.#resuming = setTimeout(() => {
      void this.#resume().catch((thrown: unknown) => log.warn({ reason: reasonOf(thrown) }, "no training was resumed"));
    }, resumeAfterMs);
    this.#resuming.unref();
  }

  async stop(_deadlineMs: number): Promise<void> {
    clearTimeout(this.#resuming);
    this.#stop.abort();
    await this.#queue;
  }

  /** Trains every model whose card says how, after a random part of `jitterMs`. Never throws: what fails is logged and counted. */
  async runAll(jitterMs = 0): Promise<void> {
    await sleep(Math.random() * jitterMs, this.#stop.signal);
    for (const model of this.#models()) {
      if (this.#stop.signal.aborted) return;
      const { card } = await registryOf(this.#options.config).open(model);
      if (card.loss && card.target && card.train) await this.train({ model }).catch(() => {});
    }
  }

  /** Goes on with what an earlier life did not end. */
  async #resume(): Promise<void> {
    for (const model of this.#models())
      if (await this.#files.order(model)) await this.train({ model, isForced: true }).catch(() => {});
  }

  #models(): string[] {
    return [...new Set(Object.values(this.#options.config.streams).flatMap(({ model }) => model ?? []))];
  }

  /**
   * Trains one model, when its turn comes.
   * @throws TidegateError MODEL_MISSING, CARD_UNTRAINABLE, DATA_TOO_LITTLE, TRAINER_ENDED, …: the running model stays
   */
  train(request: TrainingRequest): Promise<TrainingReport> {
    const work = this.#queue.then(() => this.#train(request));
    this.#queue = work.catch(() => {});
    return work;
  }

  async #train(request: TrainingRequest): Promise<TrainingReport> {
    const { log, clock } = this.#options;
    const { model } = request;
    try {
      const report = await this.#attempt(request);
      const { outcome, reasons, stream, version } = report;
      this.#count(model, outcome, reasons);
      log.info({ model, stream, outcome, version, reasons }, "training ended");
      return report;
    } catch (thrown) {
      this.#count(model, "failed", [reasonOf(thrown)]);
      log.warn({ model, reason: reasonOf(thrown) }, "training failed, the running model stays");
      throw thrown;
    } finally {
      this.#doing = undefined;
      if (this.#last) this.#last.at = clock.now();
    }
  }

  #count(model: string, outcome: string, reasons: readonly string[]): void {
    const key = `${model}/${outcome}`;
    const entry = this.#outcomes.get(key) ?? { model, outcome, count: 0 };
    entry.count++;
    this.#outcomes.set(key, entry);
    this.#last = { at: 0, model, outcome, reasons };
  }

  async #attempt(request: TrainingRequest): Promise<TrainingReport> {
    const { config, host, clock, niceness } = this.#options;
    const { model, resume = "auto", onEvent } = request;
    const signal = request.signal ? AbortSignal.any([request.signal, this.#stop.signal]) : this.#stop.signal;
    const stream = this.#streamOf(model, request.stream);
    const bundle = await registryOf(this.#options.config).open(model);
    const { card } = bundle;
    const settings = settingsOf(card, request.settings);
    const report = { model, stream, version: card.version };
    const doing: Doing = { model, stream, state: "waiting", epoch: 0, epochs: settings.epochs };
    this.#doing = doing;
    const order = await this.#order(bundle, stream, resume === "fresh");
    const { minReadings } = config.training;
    const readings = order.until - order.from;
    if (readings < minReadings && !request.isForced) {
      await this.#files.done(model);
      return { ...report, outcome: "skipped", reasons: [`${readings} readings, at least ${minReadings} are needed`] };
    }
    await this.#untilOpen(doing, signal);
    if (signal.aborted) return { ...report, outcome: "stopped", reasons: [] };
    await this.#files.putOrder(model, { ...order, attempts: order.attempts + 1 });
    const outcome = await trainBundle({
      bundle,
      modelBytes: bundle.modelBytes ?? (await readFile(bundle.modelFile)),
      settings,
      job: await this.#job(model, stream, resume),
      host,
      dir: this.#files.candidate(model),
      now: clock.now(),
      data: this.#slices(order),
      signal,
      ...(niceness === undefined ? {} : { niceness }),
      onEvent: (event) => {
        follow(doing, event);
        onEvent?.(event);
      },
    });
    return this.#finish(report, outcome);
  }

  async #finish(
    report: Pick<TrainingReport, "model" | "stream" | "version">,
    outcome: BundleOutcome,
  ): Promise<TrainingReport> {
    const { model, version } = report;
    const { candidate } = outcome;
    const { candidate: _candidate, ...result } = outcome.result;
    if (result.ended === "stopped") return { ...report, outcome: "stopped", reasons: [], result };
    await this.#files.done(model);
    const faults = result.fault ? [result.fault.message] : [];
    if (!candidate) return { ...report, outcome: "diverged", reasons: faults, result };
    const facts = {
      result,
      reasons: [...faults, ...candidate.reasons],
      metrics: candidate.evaluation.metrics,
      before: candidate.active.metrics,
      baselines: candidate.baselines,
    };
    if (!candidate.isBetter) return { ...report, ...facts, outcome: "kept", dir: candidate.dir };
    const models = join(this.#options.config.gateway.dataDir, "models");
    await installBundle(candidate.dir, models, model);
    return { ...report, ...facts, outcome: "installed", version: version + 1, dir: join(models, model) };
  }

  #streamOf(model: string, asked: string | undefined): string {
    const { streams } = this.#options.config;
    const stream = asked ?? Object.keys(streams).find((name) => streams[name]?.model === model);
    if (stream !== undefined && streams[stream]) return stream;
    const detail = asked === undefined ? `no stream runs the model ${model}` : `there is no stream ${asked}`;
    throw new TidegateError("USAGE", { detail });
  }

  /** The readings to train on: those of a training that was not ended, else the newest. */
  async #order({ name, hash }: Bundle, stream: string, isFresh: boolean): Promise<TrainingOrder> {
    const left = isFresh ? null : await this.#files.order(name);
    if (left && left.stream === stream && left.bundle === hash && left.attempts < maxAttempts) return left;
    if (left) await this.#files.done(name);
    const { next } = await this.#options.journal.stateOf(stream);
    const from = Math.max(0, next - this.#options.config.training.window);
    return { stream, from, until: next, bundle: hash, attempts: 0 };
  }

  async #job(model: string, stream: string, resume: "auto" | "require" | "fresh") {
    const { config, version } = this.#options;
    const settings = config.streams[stream];
    if (!settings) throw new TidegateError("BUG", { detail: `there is no stream ${stream}` });
    const { threads, maxExamples } = config.training;
    const { dir } = config.models;
    const shipped = await openBundle(join(dir, model)).catch(() => undefined);
    const bytes = shipped && (shipped.modelBytes ?? (await readFile(shipped.modelFile)));
    const job: Omit<TrainingJob, "card" | "model" | "settings"> = {
      data: {
        stream: { name: stream, fields: Object.keys(settings.fields), config: settings, window: settings.window },
        maxExamples,
      },
      threads,
      runMs: 20,
      limits: this.#limits,
      checkpoint: {
        file: this.#files.checkpoint(model),
        key: await this.#files.key(model),
        everyMs: checkpointEveryMs,
        resume,
      },
      version,
      ...(bytes ? { shipped: bytes } : {}),
    };
    return job;
  }

  get #limits(): GateLimits {
    const { maxCelsius, minMemory, maxLoad, onBattery } = this.#options.config.training;
    return { maxCelsius, minFreeBytes: minMemory, maxLoad, onBattery };
  }

  async #untilOpen(doing: Doing, signal: AbortSignal): Promise<void> {
    for (let isWaiting = false; !signal.aborted; isWaiting = true) {
      const reason = closedGate(readDevice(0), this.#limits, isWaiting);
      if (reason === null) return;
      doing.state = `waiting: ${reason}`;
      await sleep(waitMs, signal);
    }
  }

  /** The readings of an order, slice by slice, so that commits get between. */
  async *#slices({ stream, from, until }: TrainingOrder): AsyncGenerator<ReadingSlice> {
    const { journal } = this.#options;
    const { sources } = await journal.stateOf(stream);
    for (let at = from; at < until; ) {
      const frames = await journal.read(stream, { from: at, to: until, limit: sliceReadings });
      const last = frames.at(-1);
      if (!last) return;
      at = last.first + last.count;
      for (const frame of frames) {
        const within = sliceFrame(frame, from, until);
        if (within) yield { frame: within, sources };
      }
    }
  }
}

function follow(doing: Doing, event: TrainingEvent): void {
  if (event.event === "progress") Object.assign(doing, { state: "training", epoch: event.epoch });
  else if (event.event === "waiting") doing.state = `waiting: ${event.reason}`;
}
