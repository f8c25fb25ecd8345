import { setImmediate } from "node:timers/promises";
import { type TrainingGraph, trainingGraph } from "../autodiff/training-graph.ts";
import { TidegateError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { Session, Tensors } from "../drivers/onnxruntime.ts";
import type { Card } from "../inference/card.ts";
import { encodeModel } from "../onnx/model-file.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import type { RunModel } from "../onnx/shapes.ts";
import { BatchMaker } from "./batch-maker.ts";
import type { DataSet, Split } from "./data-set.ts";
import { rateAt, type TrainingSettings } from "./schedule.ts";
import { type EpochFigures, firstState, type TrainerState } from "./trainer-state.ts";
import { trainingSpec } from "./training-plan.ts";

export type TrainerInputs = {
  readonly card: Card;
  /** As it is before the training; not changed. */
  readonly model: ModelProto;
  readonly data: Pick<DataSet, "data" | "inputs" | "target" | "first" | "weights">;
  readonly split: Pick<Split, "train" | "validation">;
  readonly settings: TrainingSettings;
  /** What the card's `anchor` holds the weights to, in the order of the trained tensors. Default: the model's own. */
  readonly base?: Float32Array;
  /** Loads a model; sessions are released when the training ends. */
  load(model: Uint8Array): Promise<Session>;
};

export type TrainingProgress = {
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps done in this epoch, of. */
  readonly step: number;
  readonly steps: number;
  /** Mean over the epoch so far. */
  readonly loss: number;
  readonly examplesPerSecond: number;
  readonly secondsLeft: number;
  /** At the end of an epoch. */
  readonly ended?: EpochFigures;
};

export type TrainingHooks = {
  readonly signal: AbortSignal;
  onProgress?(progress: TrainingProgress): void;
  /**
   * Called at the end of an epoch, after `saveEveryMs` within a long one, and when it is stopped. Ends of epochs that follow
   * the last call within `saveApartMs` are passed over. The state must be read before it resolves.
   */
  save?(state: TrainerState): Promise<void>;
  readonly saveEveryMs?: number;
  readonly saveApartMs?: number;
  /** Called between runs; training waits for it. */
  breathe?(): Promise<void>;
  /**
   * Processor time of a run, at best. Default 150 ms: it is stopped and told of between two, and each costs a copy of the whole
   * state, a tenth of a step for a network of a million weights. Not the time that passes: on a busy machine runs would shrink
   * to a step or two.
   */
  readonly runMs?: number;
  /** Longest run in steps. */
  readonly maxSteps?: number;
  /** Called after each run with what its examples counted. It may set the weights of the state. */
  onRun?(counted: number): void;
};

export type TrainingOutcome = {
  /**
   * `epochs`: all were done. `patience`: it got no better. `stopped`: by the signal; it can go on from what was saved.
   * `diverged`: a loss was not finite; the weights are those of the best epoch before.
   */
  readonly ended: "epochs" | "patience" | "stopped" | "diverged";
  /** Of the best epoch, in the order of the trained tensors; those at the start when no epoch was done. */
  readonly weights: Float32Array;
  readonly moments: Float32Array;
  /** Null when no epoch was done. */
  readonly best: { readonly epoch: number; readonly loss: number } | null;
  readonly history: readonly EpochFigures[];
  /** Of a training that diverged: where. */
  readonly fault?: TidegateError;
};

const defaultRunMs = 150;
/** Numbers of noise that are made for one run: 16 MB. */
const maxNoise = 2 ** 22;

/**
 * Trains a model on examples in memory. Knows nothing of processes and files.
 *
 * What it gives depends on model, data, split, settings, seed and threads alone: neither on how long a run was allowed
 * to last, nor on how often it was interrupted.
 */
export class Trainer {
  readonly graph: TrainingGraph;
  readonly #inputs: TrainerInputs;
  readonly #train: Session;
  readonly #evaluate: Session;
  readonly #batches: BatchMaker;
  readonly #data: Tensors;
  #state: TrainerState;
  #msPerStep = Number.NaN;

  private constructor(inputs: TrainerInputs, graph: TrainingGraph, sessions: [Session, Session], batch: number) {
    this.#inputs = inputs;
    this.graph = graph;
    [this.#train, this.#evaluate] = sessions;
    const { data, split, settings } = inputs;
    this.#batches = new BatchMaker(data, split, batch, settings.seed);
    const read = new Set(this.#train.inputs.map(({ name }) => name));
    this.#data = Object.fromEntries(Object.entries(data.data).filter(([name]) => read.has(name)));
    const { model } = inputs;
    this.#state = firstState(graph.parameters.pack(model), graph.slots.length, graph.moments.pack(model));
  }

  /**
   * Builds the training graph and loads it.
   * @throws TidegateError CARD_UNTRAINABLE, MODEL_UNTRAINABLE, MODEL_UNSUPPORTED, DATA_TOO_LITTLE
   */
  static async open(inputs: TrainerInputs): Promise<Trainer> {
    const { card, model, data, settings, split, load } = inputs;
    if (split.train.length === 0)
      throw new TidegateError("DATA_TOO_LITTLE", { purpose: "training", actual: 0, needed: 1, unit: "examples" });
    const spec = trainingSpec({ card, model, data, settings, examples: split.train.length });
    const probe = new Probe(load);
    const graph = await trainingGraph(model, spec, probe.run).finally(() => probe.release());
    const sessions = [await load(encodeModel(graph.model)), await load(encodeModel(graph.evaluation))];
    return new Trainer(inputs, graph, sessions as [Session, Session], spec.batch);
  }

  get state(): TrainerState {
    return this.#state;
  }

  /** Goes on from a state that this model, these data and these settings had. */
  restore(state: TrainerState): void {
    this.#state = { ...state };
  }

  async close(): Promise<void> {
    await this.#train.release();
    await this.#evaluate.release();
  }

  /** Trains until the epochs are done, it gets no better, it diverges or the signal stops it. */
  async run(hooks: TrainingHooks): Promise<TrainingOutcome> {
    const { settings } = this.#inputs;
    const { signal, save, saveEveryMs = Number.POSITIVE_INFINITY, saveApartMs = 0 } = hooks;
    const start = { at: performance.now(), steps: this.#stepsDone };
    let saved = performance.now();
    while (this.#state.epoch < settings.epochs) {
      if (this.#isOutOfPatience) return this.#outcome("patience");
      await setImmediate();
      await hooks.breathe?.();
      if (signal.aborted) {
        await save?.(this.#state);
        return this.#outcome("stopped");
      }
      const fault = await this.#runSteps(hooks);
      if (fault) return this.#outcome("diverged", fault);
      const isEnd = this.#state.step === this.#batches.stepsPerEpoch;
      const progress = this.#progress(start);
      if (isEnd) {
        const failed = await this.#endEpoch();
        if (failed) return this.#outcome("diverged", failed);
      }
      const ended = this.#state.history.at(-1);
      hooks.onProgress?.({ ...progress, ...(isEnd && ended ? { ended } : {}) });
      if (performance.now() - saved < (isEnd ? saveApartMs : saveEveryMs)) continue;
      await save?.(this.#state);
      saved = performance.now();
    }
    return this.#outcome("epochs");
  }

  get #stepsDone(): number {
    return this.#state.epoch * this.#batches.stepsPerEpoch + this.#state.step;
  }

  get #isOutOfPatience(): boolean {
    const { patience } = this.#inputs.settings;
    return patience !== undefined && this.#state.sinceBest >= patience;
  }

  /** As many steps as fit into one run, within the epoch. */
  async #runSteps({ runMs = defaultRunMs, maxSteps = Number.POSITIVE_INFINITY, onRun }: TrainingHooks) {
    const { graph } = this;
    const state = this.#state;
    const left = this.#batches.stepsPerEpoch - state.step;
    const fitting = Number.isNaN(this.#msPerStep) ? 1 : Math.floor(runMs / Math.max(1e-3, this.#msPerStep));
    const quiet = graph.noiseLength === 0 ? left : Math.floor(maxNoise / graph.noiseLength);
    const steps = Math.max(1, Math.min(left, fitting, quiet, maxSteps));
    const began = process.cpuUsage();
    const results = await this.#train.run(this.#feeds(steps));
    const { user, system } = process.cpuUsage(began);
    this.#timed((user + system) / 1000 / steps);
    const losses = floatsOf(results.losses);
    const bad = losses.findIndex((loss) => !Number.isFinite(loss));
    if (bad >= 0) return this.#diverged(state.step + bad, `the loss is ${losses[bad]}`);
    const counts = floatsOf(results.counts);
    for (const [index, loss] of losses.entries()) {
      state.lossSum += loss * (counts[index] ?? 0);
      state.lossCount += counts[index] ?? 0;
    }
    state.weights = floatsOf(results.weights_out);
    state.slots = graph.slots.map((name) => floatsOf(results[`${name}_out`]));
    if (graph.moments.length > 0) state.moments = floatsOf(results.moments_out);
    state.step += steps;
    onRun?.(counts.reduce((sum, count) => sum + count, 0));
    return undefined;
  }

  #feeds(steps: number): Tensors {
    const { settings, base } = this.#inputs;
    const { graph } = this;
    const { epoch, step, weights, slots, moments, reductions } = this.#state;
    const { stepsPerEpoch } = this.#batches;
    const done = this.#stepsDone;
    const total = settings.epochs * stepsPerEpoch;
    const rates = Float32Array.from({ length: steps }, (_, index) =>
      rateAt(settings, { epoch, share: (done + index) / total, reductions }),
    );
    const flat = (data: Float32Array) => tensor("float32", [data.length], data);
    return {
      ...this.#data,
      ...this.#batches.training(epoch, step, steps),
      weights: flat(weights),
      ...Object.fromEntries(graph.slots.map((name, index) => [name, flat(slots[index] ?? new Float32Array())])),
      ...(graph.moments.length > 0 ? { moments: flat(moments) } : {}),
      step: tensor("float32", [], Float32Array.of(done)),
      rates: flat(rates),
      ...(graph.noiseLength > 0 ? { noise: this.#batches.noise(done, steps, graph.noiseLength) } : {}),
      ...(settings.anchor > 0 ? { base: flat(base ?? graph.parameters.pack(this.#inputs.model)) } : {}),
    };
  }

  /** The first run warms up: later ones say more. */
  #timed(msPerStep: number): void {
    this.#msPerStep = Number.isNaN(this.#msPerStep) ? msPerStep : (this.#msPerStep + msPerStep) / 2;
  }

  async #endEpoch(): Promise<TidegateError | undefined> {
    const { settings } = this.#inputs;
    const state = this.#state;
    const { weights, moments, lossSum, lossCount, epoch, reductions } = state;
    const loss = lossSum / Math.max(lossCount, 1e-12);
    const share = (epoch + 1) / settings.epochs;
    const validationLoss = await this.validationLoss();
    const watched = validationLoss ?? loss;
    if (!Number.isFinite(watched)) return this.#diverged(state.step, `the validation loss is ${watched}`);
    if (!weights.every(Number.isFinite)) return this.#diverged(state.step, "a weight is not finite");
    state.history.push({
      epoch: epoch + 1,
      loss,
      validationLoss,
      rate: rateAt(settings, { epoch, share, reductions }),
    });
    Object.assign(state, { epoch: epoch + 1, step: 0, lossSum: 0, lossCount: 0 });
    if (!state.best || watched < state.best.loss) {
      state.best = { epoch: epoch + 1, loss: watched, weights, moments };
      Object.assign(state, { sinceBest: 0, sinceReduced: 0 });
      return undefined;
    }
    state.sinceBest++;
    state.sinceReduced++;
    if (settings.schedule.kind === "plateau" && state.sinceReduced >= settings.schedule.patience)
      Object.assign(state, { reductions: reductions + 1, sinceReduced: 0 });
    return undefined;
  }

  /** Mean loss of the examples that are kept for it, with the weights as they are; null when there are none. */
  async validationLoss(): Promise<number | null> {
    const { weights, moments } = this.#state;
    const { graph } = this;
    let sum = 0;
    let count = 0;
    for (const batches of this.#batches.validation(this.#stepsPerRun())) {
      const feeds = {
        ...this.#data,
        ...batches,
        weights: tensor("float32", [weights.length], weights),
        ...(graph.moments.length > 0 ? { moments: tensor("float32", [moments.length], moments) } : {}),
      };
      const { losses, counts } = await this.#evaluate.run(feeds);
      const weight = floatsOf(counts);
      for (const [index, loss] of floatsOf(losses).entries()) {
        sum += loss * (weight[index] ?? 0);
        count += weight[index] ?? 0;
      }
      await setImmediate();
    }
    return count === 0 ? null : sum / count;
  }

  /** Steps that last about as long as a run should; a batch without its gradient is a third of a step. */
  #stepsPerRun(): number {
    return Math.max(1, Math.floor(defaultRunMs / Math.max(1e-3, this.#msPerStep || defaultRunMs)));
  }

  #progress(start: { at: number; steps: number }): TrainingProgress {
    const { settings } = this.#inputs;
    const { epoch, step, lossSum, lossCount } = this.#state;
    const { stepsPerEpoch, examplesPerEpoch } = this.#batches;
    const seconds = (performance.now() - start.at) / 1000;
    const done = this.#stepsDone - start.steps;
    const left = settings.epochs * stepsPerEpoch - this.#stepsDone;
    return {
      epoch: epoch + 1,
      epochs: settings.epochs,
      step,
      steps: stepsPerEpoch,
      loss: lossSum / Math.max(lossCount, 1e-12),
      examplesPerSecond: ((done / stepsPerEpoch) * examplesPerEpoch) / Math.max(seconds, 1e-6),
      secondsLeft: done === 0 ? 0 : (seconds / done) * left,
    };
  }

  #diverged(step: number, reason: string): TidegateError {
    return new TidegateError("TRAINING_DIVERGED", { epoch: this.#state.epoch + 1, step: step + 1, reason });
  }

  #outcome(ended: TrainingOutcome["ended"], fault?: TidegateError): TrainingOutcome {
    const { best, history } = this.#state;
    const { model } = this.#inputs;
    return {
      ended,
      weights: best?.weights ?? this.graph.parameters.pack(model),
      moments: best?.moments ?? this.graph.moments.pack(model),
      best: best && { epoch: best.epoch, loss: best.loss },
      history,
      ...(fault ? { fault } : {}),
    };
  }
}

/** Sessions for the runs that find shapes: one per model, gone when the shapes are known. */
class Probe {
  readonly #load: TrainerInputs["load"];
  readonly #sessions = new Map<Uint8Array, Promise<Session>>();

  constructor(load: TrainerInputs["load"]) {
    this.#load = load;
  }

  readonly run: RunModel = async (bytes, feeds) => {
    const session = this.#sessions.get(bytes) ?? this.#load(bytes);
    this.#sessions.set(bytes, session);
    return (await session).run(feeds);
  };

  async release(): Promise<void> {
    for (const session of await Promise.allSettled(this.#sessions.values()))
      if (session.status === "fulfilled") await session.value.release();
  }
}

function floatsOf(given: Tensor | undefined): Float32Array {
  if (given?.type !== "float32") throw new TidegateError("BUG", { detail: "the training graph gives no float32" });
  return given.data;
}
