import type { Rows } from "../autodiff/training-spec.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet, Split } from "./data-set.ts";
import { readRows, readTargets } from "./example-rows.ts";
import { scoreAlarms, totalAlarmScore } from "./metrics-anomaly.ts";
import { ConfusionMatrix } from "./metrics-classification.ts";
import { RegressionMetrics } from "./metrics-regression.ts";
import { fitRidge, type LinearModel, predictLinear } from "./ridge.ts";
import { classesOf } from "./targets.ts";
import { Trigram } from "./trigram.ts";

/** Metrics by name, by the name of what reached them: what cards have as `baselines`. */
export type Baselines = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Penalties that are tried, in mean squares of a column times the number of examples. */
const penalties = [1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1];
const sigmas = 4;

/**
 * What the obvious methods reach on the test slice, fitted on the training slice, with what they have to choose chosen on
 * the validation slice. By the card's task:
 * regression: mean, linear (ridge); forecast: persistence, ridgeAutoregression; classification: majority; language:
 * trigram; anomaly: for each field stepOver4Sigma and levelOver4Sigma.
 *
 * @throws TidegateError DATA_UNUSABLE
 */
export function baselinesOf(card: Card, data: DataSet, split: Split): Baselines {
  const { task } = card;
  if (task === "regression") return { mean: meanScore(data, split), linear: ridgeScore(data, split) };
  if (task === "forecast")
    return { persistence: persistenceScore(card, data, split.test), ridgeAutoregression: ridgeScore(data, split) };
  if (task === "classification") return { majority: majorityScore(card, data, split) };
  if (task === "language") return { trigram: { perplexity: trigramPerplexity(card, data, split) } };
  if (task === "anomaly") return detectorScores(card, data, split);
  return {};
}

const targetsOf = (data: DataSet, examples: Int32Array): { values: Float64Array; width: number } => {
  const target = readTargets(data, examples);
  if (!target) throw unusable("its examples have no target");
  return { values: Float64Array.from(target.data as ArrayLike<number>, Number), width: sizeOf(target.dims.slice(1)) };
};

/** All inputs of each example side by side. */
function inputsOf(data: DataSet, examples: Int32Array): { values: Float64Array; width: number } {
  const [input] = Object.values(data.inputs);
  if (!input || Object.keys(data.inputs).length > 1) throw unusable("its model has not one input");
  const { dims, data: values } = readRows(data, input, examples, "float64");
  return { values: values as Float64Array, width: sizeOf(dims.slice(1)) };
}

function regressionScore(predicted: ArrayLike<number>, { values, width }: { values: Float64Array; width: number }) {
  const metrics = new RegressionMetrics(width);
  metrics.add(predicted, values);
  return { ...metrics.score };
}

function meanScore(data: DataSet, { train, test }: Split) {
  const { values, width } = targetsOf(data, train);
  const sums = new Float64Array(width);
  values.forEach((value, i) => {
    sums[i % width] = (sums[i % width] as number) + value;
  });
  const expected = targetsOf(data, test);
  const means = sums.map((sum) => sum / train.length);
  return regressionScore(
    expected.values.map((_, i) => means[i % width] as number),
    expected,
  );
}

/** The newest reading stands for the one to come. */
function persistenceScore(card: Card, data: DataSet, test: Int32Array) {
  const names = card.fields.map(({ name }) => name);
  const wanted = (card.target?.kind === "next" ? card.target.fields : undefined) ?? names;
  const columns = wanted.map((name) => names.indexOf(name));
  const { values, width } = inputsOf(data, test);
  const newest = width - names.length;
  const predicted = Array.from(test, (_, i) => columns.map((column) => values[i * width + newest + column] as number));
  return regressionScore(predicted.flat(), targetsOf(data, test));
}

/** A linear model of all inputs, whose penalty the validation slice chooses (without one: a small one). */
function ridgeScore(data: DataSet, split: Split) {
  const model = chosenRidge(data, split);
  return regressionScore(predictLinear(model, inputsOf(data, split.test).values), targetsOf(data, split.test));
}

function chosenRidge(data: DataSet, { train, validation }: Split): LinearModel {
  const x = inputsOf(data, train);
  const y = targetsOf(data, train);
  const unit = x.values.reduce((sum, value) => sum + value * value, 0) / x.width || 1;
  const fitted = (penalty: number) =>
    fitRidge(x.values, y.values, { width: x.width, outputs: y.width, penalty: penalty * unit });
  if (validation.length === 0) return fitted(1e-6);
  const held = { x: inputsOf(data, validation).values, y: targetsOf(data, validation) };
  const tried = penalties.map((penalty) => {
    const model = fitted(penalty);
    return { model, mse: regressionScore(predictLinear(model, held.x), held.y).mse };
  });
  return tried.reduce((best, each) => (each.mse < best.mse ? each : best)).model;
}

function majorityScore(card: Card, data: DataSet, { train, test }: Split) {
  const isBinary = card.loss?.kind === "binaryCrossEntropy";
  const classes = isBinary ? 2 : classesOf(card);
  const counts = new Map<number, number>();
  const labelOf = (value: number) => (isBinary ? Number(value > 0.5) : value);
  for (const value of targetsOf(data, train).values) counts.set(labelOf(value), (counts.get(labelOf(value)) ?? 0) + 1);
  const [most = 0] = [...counts].reduce((best, each) => (each[1] > best[1] ? each : best), [0, 0]);
  const matrix = new ConfusionMatrix(classes);
  for (const value of targetsOf(data, test).values) matrix.add(labelOf(value), most);
  const { precision, recall, f1 } = classes === 2 ? matrix.of(1) : matrix.macro;
  return { accuracy: matrix.accuracy, precision, recall, f1 };
}

function trigramPerplexity(card: Card, data: DataSet, { train, validation, test }: Split): number {
  const rows = data.target;
  if (!rows || !("data" in rows)) throw unusable("its examples have no target");
  const tokens = data.data[rows.data]?.data;
  if (!(tokens instanceof Int32Array)) throw unusable("its tokens are no int32");
  const { span = 1, offset = 0 } = rows;
  // Each place once, however often examples overlap.
  const places = (examples: Int32Array): number[] => {
    const seen = new Set<number>();
    for (const example of examples)
      for (let i = 0; i < span; i++) seen.add((data.first[example] as number) + offset + i);
    return [...seen].sort((a, b) => a - b);
  };
  const vocabulary = card.labels.length || classesOf(card);
  const model = new Trigram(tokens, vocabulary, places(train));
  model.fitShares(places(validation));
  return model.perplexity(places(test));
}

/** The detectors that one writes in a line: a field steps, or lies, further than four deviations of the training slice. */
function detectorScores(card: Card, data: DataSet, { train, test }: Split): Baselines {
  const rows = data.inputs[card.inputs.find(({ from }) => from === "window")?.name ?? ""];
  const width = card.fields.length;
  if (!rows) throw unusable("its model takes no windows");
  const entries = card.fields.flatMap(({ name }, column) => {
    const level = (example: Float64Array) => example[example.length - width + column] as number;
    const step = (example: Float64Array) => level(example) - (example[example.length - 2 * width + column] as number);
    const isLong = (card.window?.size ?? 1) > 1;
    return [
      ...(isLong ? [[`${name}StepOver${sigmas}Sigma`, detectorScore(data, rows, train, test, step)] as const] : []),
      [`${name}LevelOver${sigmas}Sigma`, detectorScore(data, rows, train, test, level)] as const,
    ];
  });
  return Object.fromEntries(entries);
}

function detectorScore(
  data: DataSet,
  rows: Rows,
  train: Int32Array,
  test: Int32Array,
  feature: (example: Float64Array) => number,
): Record<string, number> {
  const features = (examples: Int32Array): number[] => {
    const { data: values, dims } = readRows(data, rows, examples, "float64");
    const length = sizeOf(dims.slice(1));
    return Array.from(examples, (_, i) => feature((values as Float64Array).subarray(i * length, (i + 1) * length)));
  };
  const known = features(train);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const sigma = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length);
  const alarms = features(test).map((value) => Math.abs(value - mean) > sigmas * sigma);
  const bySource = Map.groupBy([...test.keys()], (index) => data.source[test[index] as number]);
  const scores = [...bySource.values()].map((indexes) =>
    scoreAlarms(
      indexes.map((index) => data.marked[test[index] as number] === 1),
      indexes.map((index) => alarms[index] === true),
      1,
    ),
  );
  const { events, falseEpisodes, falseAlarms, normalReadings } = totalAlarmScore(scores);
  return { eventsLabelled: events.labelled, eventsFound: events.found, falseEpisodes, falseAlarms, normalReadings };
}

const unusable = (reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what: "the data",
    reason,
    remedy: "Baselines need examples with targets of the card's task.",
  });
