import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import type { KeyRing } from "../crypto/key-ring.ts";
import { deriveKey } from "../crypto/sealing.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { installBundle, settleBundles } from "../inference/bundle-install.ts";
import type { ModelHost } from "../inference/model-host.ts";
import { closedGate, type GateLimits, readDevice } from "../train/gates.ts";
import { type BundleOutcome, trainBundle } from "../train/train-bundle.ts";
import type { TrainingEvent, TrainingJob } from "../train/training-job.ts";
import { settingsOf } from "../train/training-settings.ts";
import { Marks } from "./marks.ts";
import type { Job } from "./schedules.ts";
import { registryOf } from "./streams.ts";
import { TrainingFiles, type TrainingOrder } from "./training-files.ts";
import { TrainingReadings } from "./training-readings.ts";
import { type TrainingHealth, TrainingRecord, type TrainingReport } from "./training-report.ts";

export type TrainingsOptions = {
  readonly config: Config;
  readonly version: string;
  readonly keys: Pick<KeyRing, "storageRoot">;
  readonly journal: Pick<Journal, "read" | "stateOf" | "stateGet" | "statePut">;
  readonly host: ModelHost;
  readonly clock: Clock;
  readonly log: Log;
  readonly health?: TrainingHealth;
  readonly niceness?: number;
};

export type TrainingRequest = {
  readonly model: string;
  /** Default: all streams of the configuration that run the model. */
  readonly stream?: string;
  /** Keys of the card's `train` that differ. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly resume?: "auto" | "require" | "fresh";
  /** Train however few readings there are. */
  readonly isForced?: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainingEvent) => void;
};

const checkpointEveryMs = 30_000;
/** A start goes on with what an earlier life left after so long: the site's backlog comes first. */
const resumeAfterMs = 30_000;
const waitMs = 30_000;
const maxAttempts = 3;

/** Trains the models of the gateway's streams on the gateway's own buffer, one at a time, each in a child process. */
export class Trainings implements Component {
  readonly name = "trainings";
  /** What operators say of the readings. */
  readonly marks: Marks;
  readonly #options: TrainingsOptions;
  readonly #files: TrainingFiles;
  readonly #stop = new AbortController();
  /** Aborts when readings are erased: what trains on them ends. */
  #erasing = new AbortController();
  readonly #forgetting: (() => Promise<void>)[] = [];
  readonly #readings: TrainingReadings;
  readonly #record: TrainingRecord;
  /** One after the other: two trainings would take each other's memory. */
  #queue: Promise<unknown> = Promise.resolve();
  #resuming: NodeJS.Timeout | undefined;

  constructor(options: TrainingsOptions) {
    this.#options = options;
    const { config, keys, journal } = options;
    this.#files = new TrainingFiles(config.gateway.dataDir, keys.storageRoot, journal);
    this.marks = new Marks(keys.storageRoot, journal);
    this.#readings = new TrainingReadings({ config, journal, marks: this.marks });
    this.#record = new TrainingRecord(options.health);
  }

  get status() {
    return this.#record.status;
  }

  get files(): TrainingFiles {
    return this.#files;
  }

  get readings(): TrainingReadings {
    return this.#readings;
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
    this.#record.tell();
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
    for (const model of this.#readings.models) {
      if (this.#stop.signal.aborted) return;
      const { card } = await registryOf(this.#options.config).open(model);
      if (card.loss && card.target && card.train) await this.train({ model }).catch(() => {});
    }
  }

  /**
   * Readings are erased: ends what trains on them, and destroys all that was made of any: checkpoints, kept examples,
   * candidates, and the marks that fit.
   */
  async erase({ stream, source, before }: { stream?: string; source?: string; before?: number }): Promise<void> {
    this.#erasing.abort();
    await this.#queue;
    await this.#files.erase();
    for (const forget of this.#forgetting) await forget();
    this.#erasing = new AbortController();
    await this.marks.remove({ stream, source, to: before === undefined ? undefined : before - 1 });
  }

  /** Goes on with what an earlier life did not end. */
  async #resume(): Promise<void> {
    for (const model of this.#readings.models)
      if (await this.#files.order(model)) await this.train({ model, isForced: true }).catch(() => {});
  }

  /** Others who have something that is made of readings are told when the files and the secret of all that are gone. */
  onErased(forget: () => Promise<void>): void {
    this.#forgetting.push(forget);
  }

  /**
   * Gives other work on models its turn among the trainings, once no gate is closed. Null: the signal ended the wait.
   * @param waiting  told why it waits
   */
  async inTurn<T>(
    signal: AbortSignal,
    waiting: (reason: string) => void,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | null> {
    const turn = this.#queue.then(async () => {
      const any = AbortSignal.any([signal, this.#stop.signal, this.#erasing.signal]);
      await this.#untilOpen(any, waiting);
      return any.aborted ? null : work(any);
    });
    this.#queue = turn.catch(() => {});
    return turn;
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
      const { outcome, reasons, streams, version } = report;
      this.#record.end(model, outcome, reasons, clock.now());
      log.info({ model, streams, outcome, version, reasons }, "training ended");
      return report;
    } catch (thrown) {
      // Later there is other data: it is not looked at again.
      if (isOfData(thrown)) await this.#files.done(model);
      this.#record.end(model, "failed", [reasonOf(thrown)], clock.now());
      log.warn({ model, reason: reasonOf(thrown) }, "training failed, the running model stays");
      throw thrown;
    }
  }

  async #attempt(request: TrainingRequest): Promise<TrainingReport> {
    const { config, host, clock, niceness } = this.#options;
    const { model, resume = "auto", onEvent } = request;
    const given = request.signal ? [request.signal] : [];
    const signal = AbortSignal.any([...given, this.#stop.signal, this.#erasing.signal]);
    const streams = this.#readings.streamsOf(model, request.stream);
    const bundle = await registryOf(this.#options.config).open(model);
    const { card } = bundle;
    const settings = settingsOf(card, request.settings);
    const report = { model, streams, version: card.version };
    this.#record.begin(model, streams, settings.epochs);
    const order = await this.#order(bundle, streams, resume === "fresh");
    const { minReadings } = config.training;
    const readings = order.readings.reduce((sum, { from, until }) => sum + until - from, 0);
    if (readings < minReadings && !request.isForced) {
      await this.#files.done(model);
      return { ...report, outcome: "skipped", reasons: [`${readings} readings, at least ${minReadings} are needed`] };
    }
    await this.#untilOpen(signal, (reason) => this.#record.waiting(reason));
    if (signal.aborted) return { ...report, outcome: "stopped", reasons: [] };
    await this.#files.putOrder(model, { ...order, attempts: order.attempts + 1 });
    const outcome = await trainBundle({
      bundle,
      modelBytes: bundle.modelBytes ?? (await readFile(bundle.modelFile)),
      settings,
      job: await this.#job(bundle, order, resume),
      host,
      dir: this.#files.candidate(model),
      now: clock.now(),
      data: this.#readings.slices(order),
      signal,
      ...(niceness === undefined ? {} : { niceness }),
      onEvent: (event) => {
        this.#record.follow(event);
        onEvent?.(event);
      },
    });
    return this.#finish(bundle, report, outcome);
  }

  async #finish(
    bundle: Bundle,
    report: Pick<TrainingReport, "model" | "streams" | "version">,
    outcome: BundleOutcome,
  ): Promise<TrainingReport> {
    const { model, version } = report;
    const { candidate } = outcome;
    const { candidate: _candidate, reference, ...result } = outcome.result;
    if (result.ended === "stopped") return { ...report, outcome: "stopped", reasons: [], result };
    await this.#files.done(model);
    this.#record.drifted(model, result.drift);
    const faults = result.fault ? [result.fault.message] : [];
    if (!candidate?.isBetter && !(await this.#files.reference(model, bundle.hash)))
      await this.#files.putReference(model, bundle.hash, reference.active);
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
    const { hash } = await openBundle(join(models, model));
    await this.#files.putReference(model, hash, reference.candidate);
    return { ...report, ...facts, outcome: "installed", version: version + 1, dir: join(models, model) };
  }

  /** The readings to train on: those of a training that was not ended, else the newest. */
  async #order({ name, hash }: Bundle, streams: readonly string[], isFresh: boolean): Promise<TrainingOrder> {
    const left = isFresh ? null : await this.#files.order(name);
    const isSame = left?.readings.map(({ stream }) => stream).join("/") === streams.join("/");
    if (left && isSame && left.bundle === hash && left.attempts < maxAttempts) return left;
    if (left) await this.#files.done(name);
    return { ...(await this.#readings.choose(streams)), bundle: hash, attempts: 0 };
  }

  async #job({ name: model, hash }: Bundle, order: TrainingOrder, resume: "auto" | "require" | "fresh") {
    const { config, version } = this.#options;
    const { threads, replay } = config.training;
    const shipped = await openBundle(join(config.models.dir, model)).catch(() => undefined);
    const bytes = shipped && (shipped.modelBytes ?? (await readFile(shipped.modelFile)));
    const key = await this.#files.key(model);
    const drift = await this.#files.reference(model, hash);
    const file = this.#files.replay(model);
    const job: Omit<TrainingJob, "card" | "model" | "settings"> = {
      data: await this.#readings.data(order),
      threads,
      runMs: 20,
      limits: this.limits,
      checkpoint: { file: this.#files.checkpoint(model), key, everyMs: checkpointEveryMs, resume },
      version,
      ...(bytes ? { shipped: bytes } : {}),
      ...(replay.examples > 0 ? { replay: { ...replay, file, key: deriveKey(key, "replay") } } : {}),
      ...(drift ? { drift } : {}),
    };
    return job;
  }

  get limits(): GateLimits {
    const { maxCelsius, minMemory, maxLoad, onBattery } = this.#options.config.training;
    return { maxCelsius, minFreeBytes: minMemory, maxLoad, onBattery };
  }

  async #untilOpen(signal: AbortSignal, waiting: (reason: string) => void): Promise<void> {
    for (let isWaiting = false; !signal.aborted; isWaiting = true) {
      const reason = closedGate(readDevice(0), this.limits, isWaiting);
      if (reason === null) return;
      waiting(reason);
      await sleep(waitMs, signal);
    }
  }
}

const isOfData = (thrown: unknown): boolean =>
  thrown instanceof TidegateError && (thrown.code === "DATA_UNUSABLE" || thrown.code === "DATA_TOO_LITTLE");
