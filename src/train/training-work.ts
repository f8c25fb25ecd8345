import { setTimeout } from "node:timers/promises";
import { clone } from "@bufbuild/protobuf";
import { FlatParameters } from "../autodiff/flat-parameters.ts";
import { TidegateError } from "../base/errors.ts";
import { loadSession, runtimeVersion } from "../drivers/onnxruntime.ts";
import { decodeModel, encodeModel } from "../onnx/model-file.ts";
import { type ModelProto, ModelProtoSchema } from "../onnx/onnx_pb.ts";
import { baselinesOf } from "./baselines.ts";
import { calibrate } from "./calibrate.ts";
import { CheckpointFile, type Sealer } from "./checkpoint.ts";
import { type Circumstances, describeCpu, sha256, standingOf } from "./circumstances.ts";
import { balanceClasses } from "./class-balance.ts";
import { compareVersions } from "./compare.ts";
import type { DataSet, Split } from "./data-set.ts";
import { measureDrift, referenceOf } from "./drift.ts";
import { evaluate } from "./evaluate.ts";
import { fitStatistics } from "./fit.ts";
import { decide, type Paired } from "./gate.ts";
import { closedGate, readDevice } from "./gates.ts";
import { keepExamples, mixKept } from "./kept-examples.ts";
import type { ReplayFile } from "./replay-file.ts";
import { Trainer, type TrainingHooks, type TrainingOutcome } from "./trainer.ts";
import type { TrainerState } from "./trainer-state.ts";
import type { Candidate, TrainingEvent, TrainingJob, TrainingResult } from "./training-job.ts";
import { trainedTensors } from "./training-plan.ts";

export type WorkHooks = {
  readonly signal: AbortSignal;
  readonly sealer?: Sealer | undefined;
  readonly replay?: ReplayFile | undefined;
  /** Called before each run: see `collector`. */
  readonly collect?: (() => void) | undefined;
  tell(event: TrainingEvent): void;
};

const lookEveryMs = 1_000;
const waitMs = 5_000;
/** Epochs can be shorter than what it costs a memory card to save one, ms. */
const saveApart = 1_000;

/**
 * Does a job on its data: statistics, weights, and what the new model is worth. Runs models on the calling thread: for
 * the trainer's process.
 *
 * @throws TidegateError CARD_UNTRAINABLE, MODEL_UNTRAINABLE, DATA_UNUSABLE, DATA_TOO_LITTLE, CHECKPOINT_MISMATCH, …
 */
export async function work(job: TrainingJob, given: DataSet, whole: Split, hooks: WorkHooks): Promise<TrainingResult> {
  const { card, settings, threads } = job;
  const newer = settings.balance ? balanceClasses(card, given, whole.train) : given;
  const kept = (await hooks.replay?.read()) ?? null;
  const mixed = mixKept(newer, whole, kept, job.replay ?? { examples: 0, share: 0 });
  const { data, split } = mixed;
  const began = performance.now();
  const parts = Object.fromEntries(Object.entries(split).map(([name, { length }]) => [name, length]));
  hooks.tell({ event: "data", manifest: data.manifest, parts: { ...parts, replayed: mixed.replayed } });
  const model = decodeModel(job.model, card.name);
  // Statistics follow the newest readings: what is replayed teaches weights alone.
  await fitStatistics(model, card, data, whole.train, { threads });
  const trainer = await Trainer.open({
    card,
    model,
    data,
    split,
    settings,
    ...baseOf(job),
    load: (bytes) => loadSession(bytes, { threads, logSeverity: 4 }),
  });
  try {
    const engine = engineOf(job);
    const circumstances: Circumstances = {
      model: sha256(job.model),
      graph: sha256(encodeModel(trainer.graph.model)),
      settings,
      data: data.manifest,
      split: sha256(...Object.values(split).map((numbers) => new Uint8Array(numbers.buffer))),
      engine,
      cpu: describeCpu(),
      threads,
    };
    const file = job.checkpoint && new CheckpointFile(job.checkpoint.file, hooks.sealer);
    if (file && job.checkpoint) await resume(trainer, file, job.checkpoint.resume, circumstances, hooks);
    const outcome = await trainer.run({ ...trainingHooks(job, hooks), ...saving(job, file, circumstances) });
    const { ended, best, history, fault } = outcome;
    if (ended !== "stopped") await file?.remove();
    const learnt = ended !== "stopped" && best !== null ? withWeights(model, trainer, outcome) : undefined;
    const measured = learnt && (await measure(learnt, job, data, split));
    if (job.replay && hooks.replay && ended !== "stopped")
      await hooks.replay.write(keepExamples(data, split, job.replay, settings.seed));
    return {
      ended,
      best,
      history,
      ...(fault ? { fault: fault.toJSON() } : {}),
      ...(measured ? { candidate: measured.candidate } : {}),
      manifest: data.manifest,
      ...drifts(job, given, measured?.losses),
      engine,
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    await trainer.close();
  }
}

/** What trains: written into cards and checkpoints. */
export const engineOf = ({ version }: Pick<TrainingJob, "version">): string =>
  `tidegate ${version}, onnxruntime ${runtimeVersion}, node ${process.version}`;

/** All examples tell of the inputs, those of the test alone of the losses. */
function drifts(
  { card, drift }: TrainingJob,
  data: DataSet,
  losses: Paired | undefined,
): Pick<TrainingResult, "drift" | "reference"> {
  const all = Int32Array.from(data.first, (_, example) => example);
  return {
    drift: drift ? measureDrift(drift, card, data, all, losses?.active) : [],
    reference: {
      candidate: referenceOf(card, data, all, losses?.candidate),
      active: referenceOf(card, data, all, losses?.active),
    },
  };
}

/** Gives the new model its threshold, and measures and judges it beside the one in use on examples that neither has seen. */
async function measure(
  model: ModelProto,
  job: TrainingJob,
  data: DataSet,
  split: Split,
): Promise<{ candidate: Candidate; losses: Paired }> {
  const { card, threads, reference, settings } = job;
  const calibration = await calibrate(model, card, data, split.calibration, { threads });
  const active = decodeModel(job.model, card.name);
  const versions = [
    { model, card },
    { model: active, card },
  ] as const;
  const evidence = await compareVersions(...versions, data, split.test, reference, { threads });
  const uncalibrated = calibration?.outcome === "kept" ? calibration.reason : undefined;
  const candidate: Candidate = {
    model: encodeModel(model),
    ...(calibration ? { calibration } : {}),
    evaluation: await evaluate(model, card, data, split.test, { threads }),
    active: await evaluate(active, card, data, split.test, { threads }),
    baselines: baselinesOf(card, data, split),
    gate: decide({ ...evidence, uncalibrated }, { ...job.gate, seed: settings.seed }),
  };
  return { candidate, losses: evidence.losses };
}

/** Weights of the shipped version, when it has the same tensors: a version of another shape is no anchor. */
function baseOf({ card, model, shipped }: TrainingJob): { base?: Float32Array } {
  if (!shipped) return {};
  const names = trainedTensors(card, decodeModel(model, card.name));
  const pack = (bytes: Uint8Array) => {
    const proto = decodeModel(bytes, card.name);
    const parameters = FlatParameters.of(proto, names);
    return { layout: JSON.stringify(parameters.slices), weights: parameters.pack(proto) };
  };
  try {
    const base = pack(shipped);
    return base.layout === pack(model).layout ? { base: base.weights } : {};
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "MODEL_UNTRAINABLE") return {};
    throw thrown;
  }
}

function withWeights(model: ModelProto, trainer: Trainer, { weights, moments }: TrainingOutcome): ModelProto {
  const learnt = clone(ModelProtoSchema, model);
  trainer.graph.parameters.unpack(weights, learnt);
  trainer.graph.moments.unpack(moments, learnt);
  return learnt;
}

/** Takes up a checkpoint where that is right, and tells what was done. */
async function resume(
  trainer: Trainer,
  file: CheckpointFile,
  mode: "auto" | "require" | "fresh",
  now: Circumstances,
  { tell }: WorkHooks,
): Promise<void> {
  if (mode === "fresh") return file.remove();
  const refuse = async (error: TidegateError): Promise<void> => {
    if (mode === "require") throw error;
    tell({ event: "anew", reasons: [error.message] });
    await file.remove();
  };
  let found: Awaited<ReturnType<CheckpointFile["read"]>>;
  try {
    found = await file.read();
  } catch (thrown) {
    if (!(thrown instanceof TidegateError)) throw thrown;
    return refuse(thrown);
  }
  if (!found) {
    if (mode === "require")
      throw new TidegateError("CHECKPOINT_UNREADABLE", { file: file.file, reason: "there is none" });
    return;
  }
  const judged = standingOf(found.circumstances, now);
  const mismatch = (reason: string) => new TidegateError("CHECKPOINT_MISMATCH", { file: file.file, reason });
  if (judged.standing === "other") return refuse(mismatch(judged.reasons.join("; ")));
  if (judged.standing === "anew") {
    tell({ event: "anew", reasons: judged.reasons });
    return file.remove();
  }
  if (!fits(found.state, trainer.state)) return refuse(mismatch("its vectors have other lengths"));
  trainer.restore(found.state);
  tell({ event: "resumed", epoch: found.state.epoch + 1, step: found.state.step, ...judged });
}

const fits = (a: TrainerState, b: TrainerState): boolean =>
  a.weights.length === b.weights.length && a.moments.length === b.moments.length && a.slots.length === b.slots.length;

function saving(
  { checkpoint }: TrainingJob,
  file: CheckpointFile | undefined,
  circumstances: Circumstances,
): Pick<TrainingHooks, "save" | "saveEveryMs" | "saveApartMs"> {
  if (!file || !checkpoint) return {};
  const saveApartMs = Math.min(saveApart, checkpoint.everyMs);
  return { saveEveryMs: checkpoint.everyMs, saveApartMs, save: (state) => file.write({ circumstances, state }) };
}

/** How a training gets between its runs: it waits while a gate is closed. */
export function trainingHooks(
  { limits, threads, runMs }: Pick<TrainingJob, "limits" | "threads" | "runMs">,
  { signal, tell, collect }: WorkHooks,
): TrainingHooks {
  let looked = 0;
  return {
    signal,
    ...(runMs === undefined ? {} : { runMs }),
    onProgress: (progress) => tell({ event: "progress", ...progress }),
    breathe: async () => {
      collect?.();
      if (performance.now() - looked < lookEveryMs) return;
      looked = performance.now();
      let reason = closedGate(readDevice(threads), limits, false);
      if (reason === null) return;
      while (reason !== null && !signal.aborted) {
        tell({ event: "waiting", reason });
        await setTimeout(waitMs, undefined, { signal }).catch(() => {});
        // Meanwhile it is not the trainer that loads the device.
        reason = closedGate(readDevice(0), limits, true);
      }
      tell({ event: "going-on" });
    },
  };
}
