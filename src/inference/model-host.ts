import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import { type Component, sleep, within } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Tensor } from "../base/tensor.ts";
import type { Provider, Tensors } from "../drivers/onnxruntime.ts";
import type { Bundle } from "./bundle.ts";
import { decodeBody, encodeFrame, type FrameHead, frameKinds, writeHead } from "./framing.ts";
import { HostedModel } from "./hosted-model.ts";
import { type ChildEnd, ModelChild } from "./model-child.ts";
import type { LoadAnswer, LoadRequest, ReadyBody } from "./model-protocol.ts";
import { type Request, Unanswered } from "./unanswered.ts";

export type HostOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** Threads of one run. */
  readonly threads?: number;
  readonly providers?: readonly Provider[];
  /** Most windows in one run of a model; larger batches are cut inside the model process. */
  readonly maxBatch?: number;
  /** A run (or the next step of one) that shows no progress for this long is hung. */
  readonly runTimeoutMs?: number;
  readonly loadTimeoutMs?: number;
  readonly niceness?: number;
  readonly oomScore?: number;
};

const pingMs = 100;
/** Longest pause before a process that keeps ending is started again. */
const maxRestartDelayMs = 1_500;

/**
 * Owns the model process: starts it, watches it, and starts it again with its models and the work it had not answered.
 *
 * - Requests are answered in order, each exactly once: what a process had not answered when it ended goes to the next.
 * - The oldest unanswered request is the one that was running, so it is its model that a crash or a hang is put down to.
 *   A model that ends the process again and again is disabled, retried later; the others go on.
 * - A hang is proven, not guessed: no answer and no progress past the deadline, seen by two successive looks, so that a
 *   daemon that was stopped itself does not shoot a healthy process.
 */
export class ModelHost implements Component {
  readonly name = "models";
  readonly #options: Required<HostOptions>;
  readonly #models = new Map<number, HostedModel>();
  readonly #requests = new Unanswered();
  #child: ModelChild | undefined;
  #ready = Promise.withResolvers<void>();
  #ended = Promise.resolve();
  #isStopping = false;
  #isReady = false;
  /** It was killed and is not gone yet: what it does not answer is no further hang. */
  #isDying = false;
  #watch: NodeJS.Timeout | undefined;
  #restart: NodeJS.Timeout | undefined;
  #strikes = 0;
  #barren = 0;
  #nextKey = 1;
  #progressAt = 0;
  #stats = { restarts: 0, progress: 0, hangs: 0 };

  constructor(options: HostOptions) {
    const defaults = {
      threads: 1,
      providers: ["cpu"] as const,
      maxBatch: 256,
      runTimeoutMs: 10_000,
      loadTimeoutMs: 60_000,
    };
    this.#options = { ...defaults, niceness: 5, oomScore: 500, ...options };
    this.#ready.promise.catch(() => {});
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** `progress` grows with every answer: liveness is proven by it. `busy`: something waits for an answer. */
  get stats() {
    const models = [...this.#models.values()].map((model) => model.summary);
    return { ...this.#stats, pid: this.pid, busy: this.#requests.length > 0, models };
  }

  /** Resolves with the next answer; at once when none is owed. */
  async ping(): Promise<void> {
    const before = this.#stats.progress;
    while (this.#requests.length > 0 && this.#stats.progress === before) await sleep(pingMs);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#isStopping = false;
    this.#spawn();
    const { runTimeoutMs, loadTimeoutMs } = this.#options;
    const every = Math.min(1_000, Math.max(20, Math.min(runTimeoutMs, loadTimeoutMs) / 4));
    this.#watch = setInterval(() => this.#look(), every);
    this.#watch.unref();
    signal.addEventListener("abort", () =>
      this.#ready.reject(new TidegateError("STOPPED", { what: "the model process" })),
    );
    await within(this.#ready.promise, loadTimeoutMs, "the model process");
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#watch);
    clearTimeout(this.#restart);
    const child = this.#child;
    child?.finish();
    try {
      await within(this.#ended, deadlineMs / 2, "ending the model process");
    } catch {
      child?.kill();
      await this.#ended;
    }
    for (const request of this.#requests.splice())
      request.fail(new TidegateError("STOPPED", { what: "the model process" }));
  }

  /**
   * Loads a bundle's model beside those that are loaded, checks it against its card and warms it up.
   * @throws TidegateError MODEL_UNREADABLE, MODEL_HASH_MISMATCH, MODEL_CONTRADICTS_CARD, MODEL_RUN_FAILED, MODEL_DISABLED
   */
  async load(bundle: Bundle): Promise<HostedModel> {
    const model = new HostedModel(this.#nextKey++, bundle, this.#options.clock);
    const answer = (await this.#call(frameKinds.load, model, this.#loadRequest(bundle)).catch((thrown: unknown) => {
      // The model process knows bytes only.
      if (thrown instanceof TidegateError && thrown.code === "MODEL_UNREADABLE")
        throw new TidegateError("MODEL_UNREADABLE", { ...thrown.facts, file: bundle.modelFile }, { cause: thrown });
      throw thrown;
    })) as LoadAnswer;
    model.loaded(answer);
    this.#models.set(model.key, model);
    const { name, version, hash } = model;
    const log = this.#options.log.child({ model: name, version });
    for (const reason of answer.refused) log.warn({ reason }, "execution provider refused, running on cpu");
    log.info(
      { hash: hash.slice(0, 16), providers: answer.providers, warmUpMs: Math.round(answer.warmUpMs) },
      "model loaded",
    );
    return model;
  }

  /** Frees a model. Batches that were sent before are answered first. */
  async unload(model: HostedModel): Promise<void> {
    // It is known until the answer is here: a process that starts in between needs it for the batches before.
    if (!model.isDisabled) await this.#call(frameKinds.unload, model, null).catch(() => {});
    this.#models.delete(model.key);
  }

  /**
   * Runs a batch of windows.
   * @param frame  head space and `count * width` float32; the caller keeps it as it is until this resolves
   * @param take  gets the outputs as bytes of float32, one output after the other, valid during the call only
   * @throws TidegateError MODEL_RUN_FAILED, MODEL_DISABLED, STOPPED
   */
  run(
    model: HostedModel,
    frame: Uint8Array,
    count: number,
    width: number,
    take: (body: Uint8Array) => void,
  ): Promise<void> {
    return new Promise((resolve, fail) => {
      const id = this.#requests.nextId();
      writeHead(frame, count * width * 4, { kind: frameKinds.run, id, model: model.key, count, width });
      const done = (body: Uint8Array) => {
        model.proved();
        take(body);
        resolve();
      };
      const timeoutMs = this.#options.runTimeoutMs;
      this.#send({ id, kind: frameKinds.run, model, frame, timeoutMs, isReload: false, sentAt: 0, take: done, fail });
    });
  }

  /** Runs any tensors, off the fast path: golden samples, media. */
  async runTensors(model: HostedModel, feeds: Tensors): Promise<Record<string, Tensor>> {
    const results = (await this.#call(frameKinds.tensors, model, feeds)) as Record<string, Tensor>;
    model.proved();
    return results;
  }

  #loadRequest({ name, modelFile, modelBytes, modelHash, card }: Bundle): LoadRequest {
    const { threads, providers, maxBatch } = this.#options;
    const { inputs, outputs } = card;
    const bytes = modelBytes ? { bytes: modelBytes } : {};
    return { name, file: modelFile, ...bytes, modelHash, inputs, outputs, threads, providers, maxBatch };
  }

  #call(kind: number, model: HostedModel, body: unknown, isReload = false): Promise<unknown> {
    return new Promise((resolve, fail) => {
      const { loadTimeoutMs, runTimeoutMs } = this.#options;
      const id = this.#requests.nextId();
      const frame = encodeFrame({ kind, id, model: model.key, count: 0, width: 0 }, body);
      const timeoutMs = kind === frameKinds.load ? loadTimeoutMs : runTimeoutMs;
      const take = (answer: Uint8Array) => resolve(decodeBody(answer));
      this.#send({ id, kind, model, frame, timeoutMs, isReload, sentAt: 0, take, fail });
    });
  }

  #send(request: Request): void {
    if (this.#isStopping) request.fail(new TidegateError("STOPPED", { what: "the model process" }));
    else if (request.model.isDisabled) request.fail(request.model.disabledError());
    else this.#post(request);
  }

  #post(request: Request): void {
    request.sentAt = this.#options.clock.monotonic();
    this.#requests.push(request);
    this.#child?.send(request.frame);
  }

  #spawn(): void {
    const ended = Promise.withResolvers<void>();
    this.#ended = ended.promise;
    this.#isReady = false;
    this.#isDying = false;
    this.#strikes = 0;
    const { niceness, oomScore } = this.#options;
    const child = new ModelChild({
      niceness,
      oomScore,
      onFrame: (head, body) => this.#receive(head, body),
      onEnd: (end) => {
        ended.resolve();
        this.#onEnd(end);
      },
    });
    this.#child = child;
    // Models first, then the work that waits for them: the order of the socket does the rest.
    const unanswered = this.#requests.splice().filter(({ isReload }) => !isReload);
    for (const model of this.#models.values()) if (!model.isDisabled) this.#reload(model);
    for (const request of unanswered) this.#send(request);
  }

  #reload(model: HostedModel): void {
    this.#call(frameKinds.load, model, this.#loadRequest(model.bundle), true).then(
      (answer) => model.loaded(answer as LoadAnswer),
      (error: TidegateError) => {
        if (error.code === "STOPPED") return;
        model.disable(error);
        this.#options.log.error({ model: model.name, version: model.version, error: error.message }, "model disabled");
      },
    );
  }

  #receive(head: FrameHead, body: Uint8Array): void {
    this.#progressAt = this.#options.clock.monotonic();
    this.#strikes = 0;
    if (head.kind === frameKinds.ready) {
      this.#isReady = true;
      this.#options.log.info(decodeBody(body) as ReadyBody, "model process ready");
      this.#ready.resolve();
      return;
    }
    if (head.kind === frameKinds.progress) return;
    this.#requests.answer(head, body);
    this.#stats.progress++;
    this.#barren = 0;
  }

  #onEnd(end: ChildEnd): void {
    this.#child = undefined;
    if (this.#isStopping) return;
    const running = this.#requests.running;
    // Before it is ready it cannot have touched a model: then the fault is the process's own.
    const blamed = this.#isReady ? running?.model : undefined;
    const { log } = this.#options;
    log.warn({ ...end, model: blamed?.name }, "model process ended, starting it again");
    if (blamed?.crashed()) {
      log.error(
        { model: blamed.name, version: blamed.version, retryInMs: blamed.retryInMs },
        "model disabled: it ends the process",
      );
    }
    this.#stats.restarts++;
    const delay = this.#barren === 0 ? 0 : Math.min(maxRestartDelayMs, 50 * 2 ** this.#barren);
    this.#barren++;
    this.#restart = setTimeout(() => this.#spawn(), delay);
  }

  /** A look at the clock: hung runs, and disabled models whose time has come. */
  #look(): void {
    const now = this.#options.clock.monotonic();
    for (const model of this.#models.values()) {
      if (!model.isDueForRetry(now)) continue;
      model.retry();
      this.#options.log.info({ model: model.name, version: model.version }, "disabled model tried again");
      if (this.#child) this.#reload(model);
    }
    const running = this.#requests.running;
    const since = running ? Math.max(running.sentAt, this.#progressAt) : now;
    if (!running || !this.#child || this.#isDying || now - since < running.timeoutMs) this.#strikes = 0;
    else if (++this.#strikes >= 2) {
      this.#strikes = 0;
      this.#stats.hangs++;
      this.#isDying = true;
      this.#options.log.error(
        { model: running.model.name, silentMs: Math.round(now - since) },
        "model process hung, killing it",
      );
      this.#child.kill();
    }
  }
}
