import type { LossSpec } from "../autodiff/losses.ts";
import type { OptimizerSpec } from "../autodiff/optimizers.ts";
import type { TrainingSpec } from "../autodiff/training-spec.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { dimsOf } from "../onnx/tensor-proto.ts";
import type { DataSet } from "./data-set.ts";
import type { TrainingSettings } from "./schedule.ts";

export type PlanInputs = {
  readonly card: Card;
  readonly model: ModelProto;
  readonly data: Pick<DataSet, "inputs" | "target">;
  readonly settings: TrainingSettings;
  /** Examples that are trained on: the batch of gradient descent. */
  readonly examples: number;
};

/**
 * What the training graph is made from: the card's loss, target and trainable tensors, put beside the data.
 *
 * @throws TidegateError CARD_UNTRAINABLE when the card does not say it, or says what the model has not
 */
export function trainingSpec({ card, model, data, settings, examples }: PlanInputs): TrainingSpec {
  const { loss } = card;
  if (!loss) throw untrainable(card, "it names no loss", "Add `loss: {kind, output}` to card.yaml.");
  const { output, scale, ...lossSpec } = present(loss);
  const constants = constantsOf(card);
  requireInputs(card, model, [...Object.keys(data.inputs), ...Object.keys(constants)]);
  const { optimizer, clipNorm, anchor } = settings;
  return {
    inputs: data.inputs,
    constants,
    output,
    target: targetOf(card, data),
    ...(scale === undefined ? {} : { scale }),
    loss: lossSpec as LossSpec,
    optimizer: present(optimizer) as OptimizerSpec,
    parameters: trainedTensors(card, model),
    batch: settings.fullBatch ? examples : Math.min(settings.batch, examples),
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(anchor > 0 ? { proximal: anchor } : {}),
  };
}

/**
 * The stored tensors that follow gradients: those that the card lists under `trainable`, but for frozen ones, and for
 * those that are set from the data (fitted statistics, the threshold). What is averaged, local or personal is trained
 * alike here: the difference is what leaves the device.
 *
 * @throws TidegateError CARD_UNTRAINABLE when there is none
 */
export function trainedTensors(card: Card, model: ModelProto): string[] {
  const fitted = new Set([...card.fit.map(({ tensor }) => tensor), card.calibration?.tensor]);
  const trained = Object.entries(card.trainable).flatMap(([name, part]) =>
    part === "frozen" || fitted.has(name) ? [] : [name],
  );
  const stored = model.graph?.initializer ?? [];
  const missing = trained.find((name) => !stored.some((each) => each.name === name));
  if (trained.length > 0 && missing === undefined) return trained;
  const named = stored.filter((each) => isReal(each.dataType) && sizeOf(dimsOf(each)) > 1).map(({ name }) => name);
  const reason = missing === undefined ? "nothing is trainable" : `model.onnx stores no tensor ${missing}`;
  throw untrainable(
    card,
    reason,
    `List under \`trainable\` tensors that model.onnx stores, each as averaged, local or personal: ${named.slice(0, 12).join(", ") || "it stores none"}.`,
  );
}

const isReal = (dataType: number): boolean => dataType === 1 || dataType === 10 || dataType === 11;

function targetOf(card: Card, { target }: Pick<DataSet, "target">): TrainingSpec["target"] {
  if (card.target?.kind === "input") return { value: card.target.value };
  if (target) return target;
  if (!card.target)
    throw untrainable(card, "it names no target", "Add `target: {kind: input | next | label | field}` to card.yaml.");
  throw untrainable(
    card,
    `the data has no target of kind ${card.target.kind}`,
    "Train on data that has it, or name another `target` in card.yaml.",
  );
}

/** Inputs that are the same for every example: constants, and states at their start. */
function constantsOf(card: Card): Record<string, readonly number[]> {
  return Object.fromEntries(
    card.inputs.flatMap(({ name, from, value, dims }) => {
      const size = sizeOf(dims.slice(1).map((dim) => (typeof dim === "number" ? dim : 1)));
      if (from === "state") return [[name, Array<number>(size).fill(0)]];
      if (from !== "constant") return [];
      return [[name, typeof value === "number" ? Array<number>(size).fill(value) : (value ?? [])]];
    }),
  );
}

function requireInputs(card: Card, model: ModelProto, given: readonly string[]): void {
  const stored = new Set(model.graph?.initializer.map(({ name }) => name));
  const open = (model.graph?.input ?? []).map(({ name }) => name).filter((name) => !stored.has(name));
  const missing = open.find((name) => !given.includes(name));
  if (missing !== undefined)
    throw untrainable(
      card,
      `the model needs input ${missing}, which the data does not fill`,
      "Declare it in card.yaml under `inputs`, from a window, media, a state or a constant.",
    );
}

const untrainable = (card: Card, reason: string, remedy: string): TidegateError =>
  new TidegateError("CARD_UNTRAINABLE", { model: card.name, reason, remedy });

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the keys that are undefined. */
const present = <T extends object>(record: T): Present<T> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Present<T>;
