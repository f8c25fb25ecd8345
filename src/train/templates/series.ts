import { TidegateError } from "../../base/errors.ts";
import type { Value } from "../../onnx/graph-builder.ts";
import { Network } from "../network.ts";
import type { MakeTemplate, NewCard, TemplateOptions } from "./template.ts";

/** What every model of windows has in its card. */
function seriesCard(options: TemplateOptions, network: Network): Omit<NewCard, "task" | "outputs"> {
  const { name, fields, units, window, periodMs } = options;
  return {
    format: 1,
    name,
    version: 1,
    fields: fields.map((field) => ({ name: field, ...(units[field] ? { unit: units[field] } : {}) })),
    ...(periodMs === undefined ? {} : { period: periodMs }),
    window: { size: window },
    inputs: [{ name: "window", dims: ["batch", window, fields.length], from: "window" }],
    trainable: Object.fromEntries(network.weights.map((weight) => [weight, "averaged" as const])),
  };
}

/** The window as numbers of mean 0 and spread 1 by the statistics of the training slice: [batch, window, fields]. */
function normalised({ g, stored }: Bound, { fields, window }: TemplateOptions): Value {
  const input = g.input("window", "float32", ["batch", window, fields.length]);
  const mean = stored("input.mean", [fields.length], 0);
  const std = stored("input.std", [fields.length], 1);
  return g.div(g.sub(input, mean), std, { name: "normalised" });
}

type Bound = { g: Network["g"]; stored: Network["stored"] };
const bound = (network: Network): Bound => ({ g: network.g, stored: network.stored.bind(network) });

const fitInput: NonNullable<NewCard["fit"]> = [
  { tensor: "input.mean", statistic: "mean", of: "window" },
  { tensor: "input.std", statistic: "std", of: "window" },
];

/** What follows the last layer: classes, or a number in the target's own unit. */
function head(
  network: Network,
  features: Value,
  width: number,
  options: TemplateOptions,
): Partial<NewCard> & Pick<NewCard, "task" | "outputs"> {
  const { g } = network;
  const { labels, target = "target" } = options;
  if (labels) {
    g.output("logits", network.dense("output", features, width, labels.length));
    return {
      task: "classification",
      labels: [...labels],
      outputs: [{ name: "logits", kind: "logits", dims: ["batch", labels.length] }],
      loss: { kind: "crossEntropy", output: "logits" },
      target: { kind: "label", field: target },
    };
  }
  const mean = network.stored("target.mean", [1], 0);
  const std = network.stored("target.std", [1], 1);
  const told = network.dense("output", features, width, 1);
  g.output("value", g.add(g.mul(told, std), mean));
  return {
    task: "regression",
    outputs: [{ name: "value", kind: "value", dims: ["batch", 1], ...unitOf(options, target) }],
    loss: { kind: "mse", output: "value", scale: "target.std" },
    target: { kind: "field", field: target },
    fit: [
      { tensor: "target.mean", statistic: "mean", of: "target" },
      { tensor: "target.std", statistic: "std", of: "target" },
    ],
  };
}

const unitOf = ({ units }: TemplateOptions, field: string): { unit?: string } =>
  units[field] ? { unit: units[field] } : {};

/** The parts of a card put together; statistics of both. */
const joined = (
  common: Omit<NewCard, "task" | "outputs">,
  own: Partial<NewCard> & Pick<NewCard, "task" | "outputs">,
  fit: NonNullable<NewCard["fit"]>,
): NewCard => ({
  ...common,
  ...own,
  fit: [...fit, ...(own.fit ?? [])],
});

/** A weighted sum of all readings of the window. */
export const linear: MakeTemplate = (options) => {
  const network = new Network(options.name, options.seed);
  const width = options.window * options.fields.length;
  const flat = network.g.flatten(normalised(bound(network), options));
  network.g.know(flat, { type: "float32", shape: ["batch", width] });
  const own = head(network, flat, width, options);
  const train = { optimizer: { kind: "sgd" as const }, rate: 0.1, fullBatch: true, epochs: 200 };
  return { model: network.g.model, card: { ...joined(seriesCard(options, network), own, fitInput), train } };
};

/** Layers of weighted sums with a kink between them (multilayer perceptron). */
export const mlp: MakeTemplate = (options) => {
  const network = new Network(options.name, options.seed);
  let width = options.window * options.fields.length;
  let x = network.g.flatten(normalised(bound(network), options));
  x = network.g.know(x, { type: "float32", shape: ["batch", width] });
  for (const [index, size] of options.hidden.entries()) {
    x = network.dense(`hidden${index + 1}`, x, width, size, "relu");
    width = size;
  }
  const own = head(network, x, width, options);
  const train = { optimizer: { kind: "adam" as const }, rate: 1e-3, epochs: 100, patience: 10 };
  return { model: network.g.model, card: { ...joined(seriesCard(options, network), own, fitInput), train } };
};

/** Filters that slide along time, and the largest answer of each over the window. */
export const cnn1d: MakeTemplate = (options) => {
  const network = new Network(options.name, options.seed);
  const { g } = network;
  let width = options.fields.length;
  let x = g.transpose(normalised(bound(network), options), [0, 2, 1]);
  for (const [index, size] of options.hidden.entries()) {
    x = network.conv(`conv${index + 1}`, x, width, size, [5], "relu");
    width = size;
  }
  const pooled = g.know(g.maximum(x, [2]), { type: "float32", shape: ["batch", width] });
  const own = head(network, pooled, width, options);
  const train = { optimizer: { kind: "adam" as const }, rate: 1e-3, epochs: 50, patience: 8 };
  return { model: network.g.model, card: { ...joined(seriesCard(options, network), own, fitInput), train } };
};

/**
 * Foretells a coming reading, of one field or of all: a recurrent layer over the steps of the window, added to its newest
 * reading. @throws TidegateError USAGE when the target is no field of the window, or steps do not fill it
 */
const forecaster =
  (kind: "RNN" | "GRU" | "LSTM"): MakeTemplate =>
  (options) => {
    const { fields, window, hidden, horizon, readingsPerStep, target } = options;
    if (window % readingsPerStep !== 0) throw usage(`${window} readings are no multiple of ${readingsPerStep}`);
    const column = target === undefined ? 0 : fields.indexOf(target);
    if (column < 0) throw usage(`a forecast is of a field of its window: ${fields.join(", ")}, not ${target}`);
    const told = target === undefined ? fields.length : 1;
    const network = new Network(options.name, options.seed);
    const { g } = network;
    const input = g.input("window", "float32", ["batch", window, fields.length]);
    const newest = g.slice(input, { starts: [window - 1], ends: [window], axes: [1] }, { name: "newest" });
    // Levels differ from place to place and hour to hour; what is learnt is how readings move around the newest.
    const moved = g.sub(input, newest, { name: "moved" });
    const spread = network.stored("spread", [fields.length], 1);
    const steps = window / readingsPerStep;
    let width = fields.length * readingsPerStep;
    let x = g.div(moved, spread, { name: "normalised" });
    if (readingsPerStep > 1) x = g.know(g.reshape(x, [-1, steps, width]), { shape: ["batch", steps, width] });
    let last = g.squeeze(newest, [1]);
    for (const [index, size] of hidden.entries()) {
      const states = network.recurrent(kind, `recurrent${index + 1}`, x, width, size);
      x = states.all;
      last = states.last;
      width = size;
    }
    const change = network.dense("output", g.know(last, { shape: ["batch", width] }), width, told);
    const unit = told < fields.length ? g.slice(spread, only(column, 0), { name: "unit" }) : spread;
    const from = g.squeeze(told < fields.length ? g.slice(newest, only(column, 2)) : newest, [1]);
    g.output("forecast", g.add(g.mul(change, unit), from));
    return {
      model: g.model,
      card: {
        ...seriesCard(options, network),
        task: "forecast",
        outputs: [
          {
            name: "forecast",
            kind: "value",
            dims: ["batch", told],
            ...(target === undefined ? {} : unitOf(options, target)),
          },
        ],
        loss: { kind: "huber", output: "forecast", scale: told < fields.length ? "unit" : "spread" },
        target: { kind: "next", horizon, ...(target === undefined ? {} : { fields: [target] }) },
        fit: [{ tensor: "spread", statistic: "std", of: "moved" }],
        train: { optimizer: { kind: "adam" }, rate: 3e-3, epochs: 30, patience: 5, clipNorm: 1 },
      },
    };
  };

const only = (column: number, axis: number) => ({ starts: [column], ends: [column + 1], axes: [axis] });

const usage = (detail: string): TidegateError => new TidegateError("USAGE", { detail });

export const rnn = forecaster("RNN");
export const gru = forecaster("GRU");
export const lstm = forecaster("LSTM");

/** Squeezes a window through a bottleneck and judges it by what is lost: a window unlike those it knows loses more. */
export const autoencoder: MakeTemplate = (options) => {
  const { fields, window, hidden } = options;
  const network = new Network(options.name, options.seed);
  const { g } = network;
  const input = g.input("window", "float32", ["batch", window, fields.length]);
  // Without the window's own level: the hour of the day is no event.
  const centred = g.sub(input, g.mean(input, [1], { keep: true }), { name: "centred" });
  const spread = network.stored("spread", [fields.length], 1);
  const whole = window * fields.length;
  const flat = g.know(g.flatten(g.div(centred, spread), 1, { name: "normalised" }), { shape: ["batch", whole] });
  const sizes = [...hidden, ...hidden.slice(0, -1).toReversed()];
  let x = flat;
  let width = whole;
  for (const [index, size] of sizes.entries()) {
    x = network.dense(`layer${index + 1}`, x, width, size, "tanh");
    width = size;
  }
  const rebuilt = network.dense("rebuilt", x, width, whole);
  const named = g.identity(rebuilt, { name: "reconstruction" });
  const raw = g.sqrt(g.mean(g.square(g.sub(flat, named)), [1]), { name: "distance" });
  g.output("score", g.div(raw, network.stored("threshold", [], 1)));
  return {
    model: g.model,
    card: {
      ...seriesCard(options, network),
      task: "anomaly",
      outputs: [{ name: "score", kind: "score", dims: ["batch"] }],
      verdict: { output: "score", above: 1 },
      alarm: { onAfter: 1, offAfter: window },
      loss: { kind: "mse", output: "reconstruction", trim: 0.02 },
      target: { kind: "input", value: "normalised" },
      fit: [{ tensor: "spread", statistic: "std", of: "centred" }],
      calibration: {
        method: "conformal",
        alpha: 0.01,
        trimmed: 0.02,
        slice: "not calibrated yet",
        tensor: "threshold",
        of: "distance",
      },
      train: { optimizer: { kind: "adam" }, rate: 1e-3, epochs: 60, patience: 8 },
    },
  };
};
