import { readFile } from "node:fs/promises";
import { modelOfVersion } from "../../../coordinator/bundle-weights.ts";
import type { ModelVersion } from "../../../coordinator/coordinator-store.ts";
import type { Bundle } from "../../../inference/bundle.ts";
import { trainSchema } from "../../../inference/card.ts";
import { decodeModel } from "../../../onnx/model-file.ts";
import type { ModelProto } from "../../../onnx/onnx_pb.ts";
import { AveragedWeights, setTensors } from "../../../train/averaged-weights.ts";
import type { DataSet } from "../../../train/data-set.ts";
import { evaluate } from "../../../train/evaluate.ts";
import { localChange } from "../../../train/round-training.ts";
import { splitOf } from "../../../train/splits.ts";
import type { LearningTask } from "./learning-task.ts";

/** Held-back losses: of each gateway that learned alone (and their mean), of the fleet, of one who had all readings. */
export type Comparison = {
  readonly local: number;
  readonly federated: number;
  readonly centralized: number;
  readonly alone: readonly { readonly gateway: string; readonly loss: number }[];
};

/** As gateways split what they have: the newest measures, the rest trains. */
const shares = { train: 0.85, validation: 0.15, calibration: 0, test: 0 };

/** Loss on held-back readings, without those of labelled events. */
export async function heldBackLoss(
  task: Pick<LearningTask, "bundle" | "heldBack">,
  model: ModelProto,
): Promise<number> {
  const { heldBack, bundle } = task;
  const examples = Int32Array.from(heldBack.first.keys()).filter((example) => heldBack.marked[example] === 0);
  const { metrics } = await evaluate(model, bundle.card, heldBack, examples);
  return metrics.loss ?? Number.NaN;
}

export const versionLoss = async (task: LearningTask, version: ModelVersion): Promise<number> =>
  heldBackLoss(task, await modelOfVersion(task.bundle, version));

/**
 * The same training without a fleet: the same start, the same statistics (so that losses have one unit) and as many epochs
 * as the rounds had together.
 */
export async function compare(
  task: LearningTask,
  { version, loss }: { readonly version: ModelVersion; readonly loss: number },
  signal: AbortSignal,
): Promise<Comparison> {
  const { tensors } = version;
  const alone: { gateway: string; loss: number }[] = [];
  for (const { id, data } of task.parts) alone.push({ gateway: id, loss: await trained(task, data, tensors, signal) });
  const centralized = await trained(task, task.pooled, tensors, signal);
  const local = alone.reduce((sum, each) => sum + each.loss, 0) / alone.length;
  return { local, federated: loss, centralized, alone };
}

async function trained(
  task: LearningTask,
  data: DataSet,
  tensors: ModelVersion["tensors"],
  signal: AbortSignal,
): Promise<number> {
  const { bundle, training, rounds } = task;
  const model = await startOf(bundle);
  setTensors(model, tensors);
  const { epochs, batch, learningRate: rate, optimizer } = training;
  const settings = trainSchema.parse({ optimizer, rate, batch, epochs: epochs * rounds });
  const split = splitOf(data, settings.seed, shares);
  const learned = await localChange({ card: bundle.card, model, data, split, settings, threads: 1 }, { signal });
  if (!learned) return Number.NaN;
  const weights = new AveragedWeights(model, bundle.card);
  weights.unpack(
    weights.pack(model).map((value, i) => value + (learned.vector[i] as number)),
    model,
  );
  return heldBackLoss(task, model);
}

const startOf = async ({ modelBytes, modelFile, name }: Bundle): Promise<ModelProto> =>
  decodeModel(modelBytes ?? (await readFile(modelFile)), name);
