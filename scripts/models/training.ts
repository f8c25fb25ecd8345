import { FlatParameters } from "../../src/autodiff/flat-parameters.ts";
import { loadSession } from "../../src/drivers/onnxruntime.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import type { ModelProto } from "../../src/onnx/onnx_pb.ts";
import { type Calibration, calibrate } from "../../src/train/calibrate.ts";
import type { DataSet, Split } from "../../src/train/data-set.ts";
import { fitStatistics } from "../../src/train/fit.ts";
import type { Template } from "../../src/train/templates/template.ts";
import { Trainer, type TrainingOutcome } from "../../src/train/trainer.ts";

/** One thread: the same weights on every machine of one kind, whatever else it does. */
const threads = 1;

export type Trained = {
  readonly model: ModelProto;
  readonly card: Card;
  readonly outcome: TrainingOutcome;
  readonly calibration: Calibration | undefined;
  readonly seconds: number;
};

/**
 * Trains a new model: statistics and weights from the training slice, the threshold (where the card asks for one) from
 * the slice behind it. The template's model is changed.
 */
export async function train(
  { model, card: newCard }: Template,
  data: DataSet,
  split: Split,
  tell: (line: string) => void = () => {},
): Promise<Trained> {
  const card = cardSchema.parse(newCard);
  if (!card.train) throw new Error(`the card of ${card.name} does not say how it is trained`);
  const began = performance.now();
  await fitStatistics(model, card, data, split.train);
  const load = (bytes: Uint8Array) => loadSession(bytes, { threads, logSeverity: 4 });
  const trainer = await Trainer.open({ card, model, data, split, settings: card.train, load });
  try {
    const outcome = await trainer.run({
      signal: new AbortController().signal,
      onProgress: ({ ended, examplesPerSecond }) => {
        if (!ended) return;
        const { epoch, loss, validationLoss } = ended;
        const validation = validationLoss === null ? "" : `, validation ${validationLoss.toPrecision(4)}`;
        tell(
          `${card.name}: epoch ${epoch}: loss ${loss.toPrecision(4)}${validation}, ${Math.round(examplesPerSecond)} examples/s`,
        );
      },
    });
    if (outcome.fault) throw outcome.fault;
    trainer.graph.parameters.unpack(outcome.weights, model);
    trainer.graph.moments.unpack(outcome.moments, model);
    const calibration = await calibrate(model, card, data, split.calibration);
    return { model, card, outcome, calibration, seconds: (performance.now() - began) / 1000 };
  } finally {
    await trainer.close();
  }
}

/** How many numbers a model learns. */
export const parametersOf = ({ model, card }: Trained): number =>
  FlatParameters.of(model, Object.keys(card.trainable)).length;
