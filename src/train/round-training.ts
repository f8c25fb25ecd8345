import { TidegateError } from "../base/errors.ts";
import { loadSession } from "../drivers/onnxruntime.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { AveragedWeights } from "./averaged-weights.ts";
import type { DataSet, Split } from "./data-set.ts";
import type { TrainingSettings } from "./schedule.ts";
import { Trainer, type TrainingHooks } from "./trainer.ts";

export type RoundTraining = {
  readonly card: Card;
  /** With the round's base in it; not changed. */
  readonly model: ModelProto;
  readonly data: DataSet;
  /** `validation` measures the base, and decides nothing. */
  readonly split: Pick<Split, "train" | "validation">;
  readonly settings: TrainingSettings;
  readonly threads: number;
};

/** What a gateway has learned in a round. */
export type Learned = {
  /** Of the averaged tensors in the card's order, float32: the change of the weights, or the gradient. */
  readonly vector: Float32Array;
  /** Mean loss of the base on what is held back; null: nothing is. */
  readonly loss: number | null;
};

/**
 * The change of the weights after the round's epochs from its base. No gate, no best epoch: the last one counts, as
 * averaging asks. Statistics stay the base's, since each gateway's own would make weights that do not add up.
 *
 * @returns null when the signal stopped it
 * @throws TidegateError TRAINING_DIVERGED, DATA_TOO_LITTLE, MODEL_UNTRAINABLE, CARD_UNTRAINABLE
 * @see McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data"
 */
export function localChange(training: RoundTraining, hooks: TrainingHooks): Promise<Learned | null> {
  return withTrainer(training, async (trainer) => {
    const before = trainer.state.weights.slice();
    const loss = await trainer.validationLoss();
    const { ended, fault } = await trainer.run(hooks);
    if (fault) throw fault;
    if (ended === "stopped") return null;
    return { loss, vector: trainer.state.weights.map((weight, i) => weight - (before[i] as number)) };
  });
}

/**
 * The mean gradient of all examples at the base: every batch is taken from the base, and weighs as many examples as it has.
 *
 * @param training  its batch alone counts
 * @returns null when the signal stopped it
 * @throws TidegateError as `localChange`
 */
export function meanGradient(training: RoundTraining, hooks: TrainingHooks): Promise<Learned | null> {
  const { settings } = training;
  const plain = { ...settings, optimizer: { kind: "sgd" as const }, rate: 1, epochs: 1, anchor: 0 };
  return withTrainer({ ...training, settings: plain }, async (trainer) => {
    const base = trainer.state.weights.slice();
    const loss = await trainer.validationLoss();
    const sum = new Float64Array(base.length);
    let counted = 0;
    const { ended, fault } = await trainer.run({
      ...hooks,
      maxSteps: 1,
      onRun: (count) => {
        const { weights } = trainer.state;
        for (let i = 0; i < sum.length; i++)
          sum[i] = (sum[i] as number) + count * ((base[i] as number) - (weights[i] as number));
        counted += count;
        trainer.state.weights = base.slice();
      },
    });
    if (fault) throw fault;
    if (ended === "stopped" || counted === 0) return null;
    return { loss, vector: Float32Array.from(sum, (each) => each / counted) };
  });
}

async function withTrainer<T>(training: RoundTraining, work: (trainer: Trainer) => Promise<T>): Promise<T> {
  const { model, data, split, settings, threads } = training;
  const card = averagedAlone(training.card);
  const trainer = await Trainer.open({
    card,
    model,
    data,
    split,
    settings,
    load: (bytes) => loadSession(bytes, { threads, logSeverity: 4 }),
  });
  try {
    const shared = new AveragedWeights(model, card);
    if (shared.length !== trainer.state.weights.length)
      throw new TidegateError("CARD_UNTRAINABLE", {
        model: card.name,
        reason: "a tensor that a fleet averages is set from data (`fit` or the threshold)",
        remedy: "List such tensors as `local` or `frozen` under `trainable`.",
      });
    return await work(trainer);
  } finally {
    await trainer.close();
  }
}

/** What is local, personal or frozen stays as it is while a fleet learns. */
const averagedAlone = (card: Card): Card => ({
  ...card,
  trainable: Object.fromEntries(Object.entries(card.trainable).filter(([, part]) => part === "averaged")),
});
