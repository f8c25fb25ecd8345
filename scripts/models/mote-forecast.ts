import { FlatParameters } from "../../src/autodiff/flat-parameters.ts";
import { readMotes } from "../../src/commands/demo/mote-data.ts";
import { cardSchema } from "../../src/inference/card.ts";
import { baselinesOf } from "../../src/train/baselines.ts";
import type { DataSet, Split } from "../../src/train/data-set.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { readRows, readTargets } from "../../src/train/example-rows.ts";
import { RegressionMetrics } from "../../src/train/metrics-regression.ts";
import { fitRidge, predictLinear } from "../../src/train/ridge.ts";
import { splitByTime } from "../../src/train/splits.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { moteData, moteFields, moteSource, moteUnits, payloadsOf } from "./motes.ts";
import { parametersOf, train } from "./training.ts";

const window = 64;
/** Five minutes ahead. */
const horizon = 60;
const target = "temperature";
const column = moteFields.indexOf(target);
const penalties = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1];

/** The linear model that knows what the network knows: all differences to the newest reading, and the change to come. */
function ridgeOfChanges(data: DataSet, { train: known, validation, test }: Split) {
  const width = window * moteFields.length;
  const changes = (examples: Int32Array) => {
    const rows = data.inputs.window;
    const told = readTargets(data, examples);
    if (!rows || !told) throw new Error("windows with targets are needed");
    const x = readRows(data, rows, examples, "float64").data as Float64Array;
    const newest = (at: number) =>
      x[at - (at % width) + width - moteFields.length + (at % moteFields.length)] as number;
    return {
      x: x.map((value, at) => value - newest(at)),
      y: Float64Array.from(examples, (_, i) => Number(told.data[i]) - newest(i * width + column)),
    };
  };
  const learnt = changes(known);
  const unit = learnt.x.reduce((sum, value) => sum + value * value, 0) / width;
  const scoreOf = (model: ReturnType<typeof fitRidge>, examples: Int32Array) => {
    const { x, y } = changes(examples);
    const metrics = new RegressionMetrics(1);
    metrics.add(predictLinear(model, x), y);
    return metrics.score;
  };
  const tried = penalties.map((penalty) => {
    const model = fitRidge(learnt.x, learnt.y, { width, outputs: 1, penalty: penalty * unit });
    return { model, mse: scoreOf(model, validation).mse };
  });
  const { model } = tried.reduce((best, each) => (each.mse < best.mse ? each : best));
  const { mse, rmse, mae } = scoreOf(model, test);
  return { mse, rmse, mae };
}

/** Temperature in five minutes. What is chosen is chosen on the validation slice; the test slice is looked at once. */
export const moteForecast =
  (kind: "rnn" | "gru" | "lstm"): BuildModel =>
  async ({ write, tell }) => {
    const name = kind === "gru" ? "mote-forecast" : `mote-forecast-${kind}`;
    const options = { name, fields: moteFields, units: moteUnits, window, horizon, target, periodMs: 5_000 };
    const made = templates[kind]?.make(templateOptions(kind, { ...options, hidden: [16], readingsPerStep: 8 }));
    if (!made?.card.loss || !made.card.train) throw new Error(`no template ${kind}`);
    // It starts as persistence and learns to differ.
    const first = FlatParameters.of(made.model, ["output.weight"]);
    first.unpack(new Float32Array(first.length), made.model);
    const card = {
      ...made.card,
      window: { size: window, hop: 1, maxGap: "60s" },
      // Two events are in the training slice, and least squares would learn little else.
      loss: { ...made.card.loss, delta: 0.5, trim: 0.05 },
      train: {
        ...made.card.train,
        rate: 1e-3,
        schedule: { kind: "cosine" as const },
        batch: 64,
        epochs: 10,
        patience: 4,
      },
    };
    const motes = readMotes();
    const data = moteData(card, motes);
    const split = splitByTime(data, { train: 0.7, validation: 0.15, calibration: 0, test: 0.15 });
    const trained = await train({ model: made.model, card }, data, split, tell);
    const { metrics } = await evaluate(trained.model, trained.card, data, split.test);
    const validation = (await evaluate(trained.model, trained.card, data, split.validation)).metrics;
    const { persistence = {}, ridgeAutoregression = {} } = baselinesOf(cardSchema.parse(card), data, split);
    const baselines = { persistence, ridgeAutoregression, ridgeOfChanges: ridgeOfChanges(data, split) };
    const best = Math.min(...Object.values(baselines).map(({ rmse = Number.POSITIVE_INFINITY }) => rmse));
    const betterBy = 1 - (metrics.rmse ?? Number.NaN) / best;
    tell(`${name}: RMSE ${metrics.rmse} °C, ${(100 * betterBy).toFixed(1)} % better than the best baseline, ${best}`);
    await write(
      trained.model,
      {
        ...card,
        description: `Foretells the temperature in five minutes (${horizon} readings) from the last ${window} readings of humidity and temperature.`,
        outputs: card.outputs.map((output) => ({ ...output, tolerance: 0.001 })),
        trainable: { ...card.trainable, spread: "local" },
        metrics: {
          ...metrics,
          validationRmse: validation.rmse ?? Number.NaN,
          betterThanBestBaseline: betterBy,
          parameters: parametersOf(trained),
        },
        baselines,
        data: moteSource,
        licence: "Apache-2.0",
        training: {
          script: "scripts/models/mote-forecast.ts",
          split:
            "by time within each mote: the oldest 70 % to learn from, 15 % to choose by, the newest 15 % to test; windows that would share readings across parts are left out",
          chosen:
            "readings per step (4, 8), units (8, 16, 32), Huber's delta (0.02 to 1), trim, rate and weight decay with the GRU, by the RMSE on the validation slice; the test slice was looked at once, with all three kinds",
          examples: split.train.length,
          epoch: trained.outcome.best?.epoch,
        },
      },
      [1_000, 2_360, 4_500].map((newest, index) => ({
        name: `mote ${index + 1}`,
        payloads: payloadsOf(motes, index + 1, newest - window + 1, newest + 1),
      })),
    );
  };
