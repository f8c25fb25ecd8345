import { FlatParameters } from "../autodiff/flat-parameters.ts";
import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { conformalQuantile, neededFor } from "./conformal.ts";
import type { DataSet } from "./data-set.ts";
import { ModelRuns, type RunOptions } from "./model-runs.ts";
import { apart } from "./splits.ts";

/** What came of a calibration. `kept`: the old version stays, since the threshold of a new one cannot be told. */
export type Calibration =
  | {
      readonly outcome: "calibrated";
      readonly threshold: number;
      /** Scores that the quantile was taken of. */
      readonly samples: number;
      /** Scores left out at the top. */
      readonly trimmed: number;
    }
  | { readonly outcome: "kept"; readonly reason: string; readonly samples: number; readonly needed: number };

export type CalibrationRule = {
  /** Share of normal windows that may be above the threshold. */
  readonly alpha: number;
  /** Top share of scores left out as likely events. */
  readonly trimmed: number;
  /** What the quantile is multiplied by. */
  readonly margin: number;
};

/** Windows that may calibrate: none that holds a known event, and no two that share readings. */
export const calibrationExamples = (data: DataSet, examples: Int32Array): Int32Array =>
  apart(
    data,
    examples.filter((example) => !data.marked[example]),
  );

/**
 * The threshold that scores of normal windows stay under.
 * @param scores  of windows that do not overlap, from a slice later than the one the weights come from
 */
export function thresholdOf(scores: ArrayLike<number>, { alpha, trimmed, margin }: CalibrationRule): Calibration {
  const sorted = Float64Array.from(scores)
    .filter((score) => !Number.isNaN(score))
    .sort();
  const left = Math.floor(sorted.length * trimmed);
  const kept = sorted.subarray(0, sorted.length - left);
  const needed = neededFor(alpha);
  if (kept.length < needed) {
    const reason = `${kept.length} windows are too few for a threshold that ${alpha} of normal windows exceed: ${needed} are needed`;
    return { outcome: "kept", reason, samples: kept.length, needed };
  }
  const threshold = margin * conformalQuantile(kept, alpha);
  if (Number.isFinite(threshold) && threshold > 0)
    return { outcome: "calibrated", threshold, samples: kept.length, trimmed: left };
  return {
    outcome: "kept",
    reason: `the scores give ${threshold}, which is no threshold`,
    samples: kept.length,
    needed,
  };
}

/**
 * Calibrates a model on a slice that its weights do not come from, and writes the threshold into it, in place.
 *
 * @param examples  the slice; marked windows and those that overlap are left out here
 * @returns undefined when the card asks for no calibration
 * @throws TidegateError DATA_UNUSABLE when the card names a value or a tensor that the model lacks
 */
export async function calibrate(
  model: ModelProto,
  card: Card,
  data: DataSet,
  examples: Int32Array,
  options?: RunOptions,
): Promise<Calibration | undefined> {
  const { method, of, tensor: name, alpha = 0.1, trimmed, margin } = card.calibration ?? { method: "fixed" };
  if (method === "fixed" || of === undefined || name === undefined) return undefined;
  const scores = await scoresOf(model, card, data, calibrationExamples(data, examples), of, options);
  const calibration = thresholdOf(scores, { alpha, trimmed, margin });
  if (calibration.outcome === "calibrated") {
    const parameters = FlatParameters.of(model, [name]);
    parameters.unpack(new Float32Array(parameters.length).fill(calibration.threshold), model);
  }
  return calibration;
}

/**
 * One number for each example: a score, whose quantiles calibrate and whose drift is measured.
 * @param value  name of a value of the graph
 * @throws TidegateError DATA_UNUSABLE when it is not one number for each example
 */
export async function scoresOf(
  model: ModelProto,
  card: Card,
  data: DataSet,
  examples: Int32Array,
  value: string,
  options?: RunOptions,
): Promise<Float64Array> {
  const scores = new Float64Array(examples.length);
  const runs = await ModelRuns.open(model, card, [value], options);
  let at = 0;
  try {
    for await (const { examples: part, values } of runs.over(data, examples)) {
      const score = values[value];
      if (score?.data.length !== part.length)
        throw new TidegateError("DATA_UNUSABLE", {
          what: "the model",
          reason: `its value ${value} is not one number for each window, but [${score?.dims.join(", ")}]`,
          remedy: "Name in the card's `calibration.of` a value with one number for each window.",
        });
      for (const each of score.data) scores[at++] = Number(each);
    }
  } finally {
    await runs.release();
  }
  return scores;
}
