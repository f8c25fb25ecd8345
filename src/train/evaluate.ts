import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { AlarmSequence } from "./alarm-sequence.ts";
import type { DataSet } from "./data-set.ts";
import { exampleLosses } from "./example-loss.ts";
import { readTargets } from "./example-rows.ts";
import type { AlarmScore } from "./metrics-anomaly.ts";
import { argMax, type ClassScore, ConfusionMatrix, rocAuc } from "./metrics-classification.ts";
import { RegressionMetrics } from "./metrics-regression.ts";
import { ModelRuns, type RunOptions } from "./model-runs.ts";
import { classesOf } from "./targets.ts";

/** How well a model did on some examples. */
export type Evaluation = {
  readonly examples: number;
  /**
   * By name, as cards have them: loss; mse, rmse, mae, r2; accuracy, precision, recall, f1 (of two classes: of class 1;
   * of more: macro), rocAuc; perplexity; eventsLabelled, eventsFound, meanDelayReadings, worstDelayReadings, falseEpisodes,
   * falseAlarms, normalReadings. What cannot be told (one class alone, no event) is left out.
   */
  readonly metrics: Readonly<Record<string, number>>;
  readonly perClass?: readonly (ClassScore & { readonly label: string })[];
  /** [expected][given] */
  readonly confusion?: readonly (readonly number[])[];
  readonly alarms?: AlarmScore;
};

/** Gathers what one task is measured by. */
type Meter = {
  add(examples: Int32Array, values: Readonly<Record<string, Tensor>>, target: Tensor | undefined): void;
  finish(): Omit<Evaluation, "examples">;
};

/**
 * Runs a bundle's model over examples and measures it by its task. Examples of one source must be in order of time,
 * as a split has them.
 *
 * @throws TidegateError DATA_UNUSABLE, MODEL_RUN_FAILED, MODEL_UNREADABLE
 */
export async function evaluate(
  model: ModelProto,
  card: Card,
  data: DataSet,
  examples: Int32Array,
  options?: RunOptions,
): Promise<Evaluation> {
  if (examples.length === 0) throw unusable("there is no example to evaluate on");
  const meters = metersOf(card, data);
  const runs = await ModelRuns.open(model, card, valuesOf(card), options);
  try {
    for await (const { examples: part, values } of runs.over(data, examples)) {
      const target = targetOf(card, data, part, values);
      for (const meter of meters) meter.add(part, values, target);
    }
  } finally {
    await runs.release();
  }
  const finished = meters.map((meter) => meter.finish());
  const metrics = Object.assign({}, ...finished.map((each) => each.metrics));
  return Object.assign({ examples: examples.length }, ...finished, { metrics: finite(metrics) });
}

/** Values that a card's loss and verdict are worked out from. */
export function valuesOf({ loss, target, outputs, verdict, task }: Card): string[] {
  const judged = verdict || task === "anomaly" ? outputs.map(({ name }) => name) : [];
  const names = [loss?.output, loss?.scale, target?.kind === "input" ? target.value : undefined, ...judged];
  const given = names.filter((name) => name !== undefined);
  return [...new Set(given.length > 0 ? given : outputs.map(({ name }) => name))];
}

/** What the examples should have given: from the data, or a value of the model. */
export function targetOf(
  { target }: Card,
  data: DataSet,
  examples: Int32Array,
  values: Readonly<Record<string, Tensor>>,
): Tensor | undefined {
  return target?.kind === "input" ? values[target.value] : readTargets(data, examples);
}

function metersOf(card: Card, data: DataSet): Meter[] {
  const { task, loss } = card;
  const meters = loss ? [lossMeter(card, loss)] : [];
  if (task === "anomaly") return [...meters, alarmMeter(card, data)];
  if (!loss) throw unusable(`the card of a ${task} model says no loss`);
  if (task === "classification") return [...meters, classMeter(card, loss)];
  if (task === "language") return [...meters];
  if (task === "forecast" || task === "regression") return [...meters, regressionMeter(loss)];
  throw unusable(`there is no measure for the task ${task}`);
}

type Loss = NonNullable<Card["loss"]>;

function lossMeter({ task }: Card, loss: Loss): Meter {
  let sum = 0;
  let count = 0;
  return {
    add: (_examples, values, target) => {
      const output = values[loss.output];
      if (!output || !target) throw unusable("the examples have no target");
      for (const each of exampleLosses(loss, output, target, loss.scale ? values[loss.scale] : undefined)) {
        sum += each;
        count++;
      }
    },
    finish: () => ({
      metrics: { loss: sum / count, ...(task === "language" ? { perplexity: Math.exp(sum / count) } : {}) },
    }),
  };
}

function regressionMeter({ output }: Loss): Meter {
  let metrics: RegressionMetrics | undefined;
  return {
    add: (_examples, values, target) => {
      if (!target) return;
      metrics ??= new RegressionMetrics(sizeOf(target.dims.slice(1)));
      metrics.add(values[output]?.data as ArrayLike<number>, target.data as ArrayLike<number>);
    },
    finish: () => ({ metrics: { ...metrics?.score } }),
  };
}

/** Of logits the largest wins; of a single one (binary cross entropy) what is above 0. */
function classMeter(card: Card, { kind, output, ignoreLabel }: Loss): Meter {
  const isBinary = kind === "binaryCrossEntropy";
  const classes = isBinary ? 2 : classesOf(card);
  const matrix = new ConfusionMatrix(Number.isFinite(classes) ? classes : 2);
  const scores: number[] = [];
  const labels: number[] = [];
  return {
    add: (_examples, values, target) => {
      const logits = values[output]?.data as ArrayLike<number>;
      const width = isBinary ? 1 : (values[output]?.dims.at(-1) ?? 1);
      for (const [i, each] of [...((target?.data ?? []) as Iterable<number>)].entries()) {
        const label = isBinary ? Number(each > 0.5) : Number(each);
        if (label === ignoreLabel) continue;
        const score = isBinary ? Number(logits[i]) : Number(logits[i * width + 1]) - Number(logits[i * width]);
        matrix.add(label, isBinary ? Number(score > 0) : argMax(logits, i * width, width));
        if (matrix.classes !== 2) continue;
        scores.push(score);
        labels.push(label);
      }
    },
    finish: () => {
      const overall = matrix.classes === 2 ? matrix.of(1) : matrix.macro;
      const { precision, recall, f1 } = overall;
      const { f1: macroF1 } = matrix.macro;
      const perClass = matrix.rows.map((_, label) => ({
        label: card.labels[label] ?? `${label}`,
        ...matrix.of(label),
      }));
      const auc = matrix.classes === 2 ? { rocAuc: rocAuc(scores, labels) } : {};
      const metrics = { accuracy: matrix.accuracy, precision, recall, f1, macroF1, ...auc };
      return { metrics, perClass, confusion: matrix.rows };
    },
  };
}

function alarmMeter(card: Card, data: DataSet): Meter {
  const sequence = new AlarmSequence(card, data);
  return {
    add: (examples, values) => sequence.add(examples, values),
    finish: () => {
      const { score, rocAuc: auc } = sequence.finish();
      const { events, delays, falseEpisodes, falseAlarms, normalReadings } = score;
      const metrics = {
        eventsLabelled: events.labelled,
        eventsFound: events.found,
        meanDelayReadings: delays.reduce((sum, delay) => sum + delay, 0) / delays.length,
        worstDelayReadings: Math.max(...delays),
        falseEpisodes,
        falseAlarms,
        normalReadings,
        rocAuc: auc,
      };
      return { metrics, alarms: score };
    },
  };
}

const finite = (metrics: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)));

const unusable = (reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what: "the model",
    reason,
    remedy: "Give examples with targets, and a card with `task`, `loss` and `target`.",
  });
