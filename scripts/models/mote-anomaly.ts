import { tensor } from "../../src/base/tensor.ts";
import { readMotes } from "../../src/commands/demo/mote-data.ts";
import { type Calibration, calibrate, scoresOf } from "../../src/train/calibrate.ts";
import type { DataSet } from "../../src/train/data-set.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { examplesOf, range } from "./examples.ts";
import { detectorMetrics, hysteresis, predictorAlarms, stepAlarms } from "./mote-detectors.ts";
import { type Motes, moteData, moteFields, moteSource, moteUnits, oldestReadings, payloadsOf } from "./motes.ts";
import { parametersOf, type Trained, train } from "./training.ts";

// No label is looked at before the metrics: statistics and weights come from the first 500 readings of each mote (the last 60
// of them choose the epoch), the threshold from the next 500. Network and training are the template's own.

const size = 16;
const chosenReadings = 440;
const weightReadings = 500;
const prefixReadings = 1_000;
const alpha = 0.1;
/** A lone bad reading is in all sixteen windows: waiting for more of them would tell nothing. */
const alarm = { onAfter: 1, offAfter: size };
/**
 * What the motes' sensor may be off by in all of its range near 25 °C (Sensirion SHT11: 3 % and 0.4 °C). The prefix is 83 minutes of
 * a day, so a bare quantile of it says little about other hours; a step within the sensor's own accuracy is no event, at any hour.
 */
const accuracy = { humidity: 3, temperature: 0.4 };

/** Windows at a level, with a step of the sensor's accuracy up or down in one field or both, at each place. */
function steps(): DataSet {
  const directions = [-1, 0, 1].flatMap((h) =>
    [-1, 0, 1].map((t) => [h * accuracy.humidity, t * accuracy.temperature]),
  );
  const windows = directions.flatMap((by) =>
    [...range(1, size)].map((place) => Array.from({ length: size }, (_, at) => (at < place ? [0, 0] : by)).flat()),
  );
  return examplesOf({
    from: "steps of the sensor's accuracy",
    data: { windows: tensor("float32", [windows.length, size, moteFields.length], Float32Array.from(windows.flat())) },
    inputs: { window: { data: "windows", type: "float32", dims: [size, moteFields.length] } },
    target: { data: "windows", type: "float32", dims: [size, moteFields.length] },
  });
}

const thresholdOf = (calibration: Calibration | undefined) => {
  if (calibration?.outcome === "calibrated") return calibration;
  throw new Error(`no threshold: ${calibration?.reason ?? "the card asks for none"}`);
};

/** The margin over the quantile that keeps every such step below the threshold, as a whole number; then the threshold itself. */
async function calibrated({ model, card, calibration }: Trained, data: DataSet, slice: Int32Array) {
  const { threshold: quantile, samples } = thresholdOf(calibration);
  const examples = steps();
  const distances = await scoresOf(model, card, examples, examples.first, "distance");
  const margin = Math.ceil(Math.max(...distances) / quantile);
  const record = card.calibration && { ...card.calibration, margin };
  const { threshold } = thresholdOf(await calibrate(model, { ...card, calibration: record }, data, slice));
  return { margin, samples, threshold };
}

/** Whether the alarm is on after each reading, per mote. @param limit  the threshold, in its own units */
function alarmsOf(motes: Motes, data: DataSet, scores: ArrayLike<number>, limit: number): Map<number, boolean[]> {
  return new Map(
    [...motes.keys()].map((mote, index) => {
      const isHigh = [...data.first.keys()]
        .filter((example) => data.source[example] === index)
        .map((example) => (scores[example] as number) > limit);
      return [mote, [...Array<boolean>(size - 1).fill(false), ...hysteresis(isHigh, alarm)]];
    }),
  );
}

/** Tried afterwards, with labels, to tell how much hangs on the margin; it is not chosen by them. */
const marginsTried = [2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80];

const golden = [
  { name: "quiet room", mote: 2, newest: 3_000 },
  { name: "open air", mote: 3, newest: 4_000 },
  { name: "first minute of the event in the room", mote: 1, newest: 2_347 },
  { name: "first minute of the event outside", mote: 4, newest: 2_363 },
  { name: "the same room three hours later", mote: 1, newest: 4_400 },
];

/** Events of four motes, found by what an autoencoder cannot rebuild. */
export const moteAnomaly: BuildModel = async ({ write, tell }) => {
  const options = { name: "mote-anomaly", fields: moteFields, units: moteUnits, window: size, periodMs: 5_000 };
  const made = templates.autoencoder?.make(templateOptions("autoencoder", options));
  if (!made) throw new Error("no template autoencoder");
  const { calibration: rule, ...card } = made.card;
  if (!rule) throw new Error("an autoencoder has a threshold");
  const newCard = {
    ...card,
    window: { size, hop: 1, maxGap: "60s" },
    outputs: card.outputs.map((output) => ({ ...output, tolerance: 0.01 })),
    alarm,
    // No window of the prefix is left out of 124: what an event would spoil, the reasons above exclude.
    calibration: { ...rule, alpha, trimmed: 0 },
  };
  const motes = readMotes();
  const data = moteData(newCard, motes);
  const oldest = oldestReadings(data);
  const within = (from: number, to: number) =>
    Int32Array.from([...oldest.keys()].filter((i) => (oldest[i] ?? -1) >= from && (oldest[i] ?? 0) + size <= to));
  const split = {
    train: within(0, chosenReadings),
    validation: within(chosenReadings, weightReadings),
    calibration: within(weightReadings, prefixReadings),
    test: within(prefixReadings, moteSource.readings),
  };
  const trained = await train({ model: made.model, card: newCard }, data, split, tell);
  const { margin, samples, threshold } = await calibrated(trained, data, split.calibration);
  const scores = await scoresOf(trained.model, trained.card, data, range(0, data.first.length), "score");
  const metricsAt = (tried: number) => detectorMetrics(motes, alarmsOf(motes, data, scores, tried / margin), size);
  const metrics = metricsAt(margin);
  const marginsThatDo = marginsTried.filter((tried) => {
    const { eventsFound, eventsLabelled, worstFalseEpisodesOfOneMote } = metricsAt(tried);
    return eventsFound === eventsLabelled && worstFalseEpisodesOfOneMote <= 1;
  });
  tell(
    `mote-anomaly: ${metrics.eventsFound} of ${metrics.eventsLabelled} events, ${metrics.falseEpisodes} false episodes`,
  );
  await write(
    trained.model,
    {
      ...newCard,
      description:
        "An autoencoder over windows of humidity and temperature without their level, and how much of a window it cannot rebuild. " +
        "Level, scale, score and threshold are in the graph: 1 is the threshold.",
      trainable: { ...newCard.trainable, spread: "local", threshold: "local" },
      calibration: {
        ...newCard.calibration,
        samples,
        margin,
        slice: `readings ${weightReadings} to ${prefixReadings - 1} of each mote, without labels; the weights come from those before`,
        threshold: Number(threshold.toPrecision(6)),
      },
      metrics: { ...metrics, parameters: parametersOf(trained) },
      baselines: {
        humidityStepOver4Sigma: detectorMetrics(motes, stepAlarms(motes, prefixReadings), size),
        linearPredictor: detectorMetrics(motes, predictorAlarms(motes, size, weightReadings, prefixReadings), size),
      },
      data: moteSource,
      licence: "Apache-2.0",
      training: {
        script: "scripts/models/mote-anomaly.ts",
        readings: `weights from readings 0 to ${chosenReadings - 1} of each mote, the epoch chosen on the ${weightReadings - chosenReadings} behind them; no labels`,
        epoch: trained.outcome.best?.epoch,
        margin: `smallest whole number that keeps steps of the sensor's accuracy (${accuracy.humidity} %, ${accuracy.temperature} °C) below the threshold`,
        marginsTried,
        marginsThatDo,
      },
    },
    golden.map(({ name, mote, newest }) => ({
      name,
      payloads: payloadsOf(motes, mote, newest - size + 1, newest + 1),
    })),
  );
};
