import { z } from "zod";
import { parseDuration } from "../base/units.ts";

/** Text like "5s", kept in ms. */
const duration = z.union([z.number().nonnegative(), z.string()]).transform((value, context) => {
  const ms = typeof value === "number" ? value : parseDuration(value);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is no duration, like "5s"` });
  return z.NEVER;
});

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -");
const hash = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in hex");
const numbers = z.record(z.string(), z.number());
const tensorType = z.enum([
  ...(["float32", "float64", "float16", "int8", "int16", "int32", "int64"] as const),
  ...(["uint8", "uint16", "uint32", "uint64", "bool", "string"] as const),
]);
const dims = z.array(z.union([z.int().positive(), z.string().min(1)]));
const numberOrNumbers = z.union([z.number(), z.array(z.number())]);

const field = z.strictObject({
  name: z.string().min(1),
  unit: z.string().optional().describe("Unit of the values, as text: °C, %, m/s²"),
});

const window = z.strictObject({
  size: z.int().positive().describe("Readings in a window"),
  hop: z.int().positive().default(1).describe("Readings from one window to the next"),
  maxGap: duration.optional().describe("A longer pause between two readings starts the window anew"),
});

const input = z.strictObject({
  name: z.string().min(1),
  type: tensorType.default("float32"),
  dims: dims.describe("The first is the batch"),
  from: z.enum(["window", "media", "state", "constant"]).default("window"),
  value: numberOrNumbers.optional().describe("Of a constant: fed with every run"),
});

const output = z.strictObject({
  name: z.string().min(1),
  kind: z.enum(["score", "flag", "label", "value", "logits", "embedding"]),
  type: tensorType.default("float32"),
  dims: dims.describe("The first is the batch"),
  unit: z.string().optional(),
  tolerance: z.number().nonnegative().default(1e-4).describe("Largest difference that golden samples allow"),
});

/** How a result is judged: a number above a limit, or one of these labels. */
const verdict = z.union([
  z.strictObject({ output: z.string(), above: z.number() }),
  z.strictObject({ output: z.string(), labels: z.array(z.string()).min(1) }),
]);

const calibration = z.strictObject({
  method: z.enum(["conformal", "quantile", "fixed"]),
  alpha: z.number().positive().max(0.5).optional().describe("Share of normal windows that may be above the threshold"),
  samples: z.int().positive().optional().describe("Non-overlapping windows it was calibrated on"),
  trimmed: z.number().min(0).max(0.5).default(0).describe("Top share of scores left out as likely events"),
  margin: z.number().positive().default(1).describe("What the quantile was multiplied by"),
  slice: z.string().describe("Which data: never the slice the weights come from"),
  threshold: z.number().optional(),
  tensor: z.string().optional().describe("Stored tensor that holds the threshold, when training may set it anew"),
  of: z.string().optional().describe("Value of the graph that the threshold is a quantile of"),
});

const loss = z.strictObject({
  kind: z.enum(["mse", "mae", "huber", "crossEntropy", "binaryCrossEntropy"]),
  output: z.string().describe("Value of the graph that is compared with the target: an output or any other"),
  scale: z.string().optional().describe("Value of the graph that both are divided by before they are compared"),
  delta: z.number().positive().optional().describe("Huber: error from which on it is a line"),
  trim: z
    .number()
    .min(0)
    .max(0.5)
    .optional()
    .describe("Share of each batch, with the largest loss, that counts nothing"),
  classWeights: z.array(z.number().nonnegative()).optional(),
  ignoreLabel: z.int().optional().describe("Positions with this label count nothing"),
});

const target = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("input"),
    value: z.string().describe("Value of the graph that is to be reconstructed"),
  }),
  z.strictObject({
    kind: z.literal("next"),
    horizon: z.int().positive().default(1).describe("Readings from the window's newest to the one that is foretold"),
    fields: z.array(z.string()).optional().describe("Fields that are foretold. Default: all"),
  }),
  z.strictObject({ kind: z.literal("label"), field: z.string().optional().describe("Field that holds the label") }),
  z.strictObject({ kind: z.literal("field"), field: z.string() }),
]);

/** A stored tensor that is no weight but a statistic of the data that the weights come from. */
const fit = z.strictObject({
  tensor: z.string(),
  statistic: z.enum(["mean", "std", "min", "max"]),
  of: z
    .string()
    .describe("Value of the graph, or `target`: what is to be told; all axes but the tensor's own are reduced"),
});

/** How a model is trained: `train` in its card. */
export const trainSchema = z.strictObject({
  optimizer: z
    .strictObject({
      kind: z.enum(["sgd", "adagrad", "rmsprop", "adam", "adamw"]),
      momentum: z.number().min(0).max(1).optional(),
      nesterov: z.boolean().optional(),
      beta1: z.number().min(0).max(1).optional(),
      beta2: z.number().min(0).max(1).optional(),
      decay: z.number().min(0).max(1).optional(),
      epsilon: z.number().positive().optional(),
      weightDecay: z.number().nonnegative().optional(),
    })
    .default({ kind: "adam" }),
  rate: z.number().positive().default(1e-3).describe("Learning rate"),
  schedule: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("constant") }),
      z.strictObject({
        kind: z.literal("step"),
        everyEpochs: z.int().positive(),
        factor: z.number().positive().max(1),
      }),
      z.strictObject({ kind: z.literal("cosine"), least: z.number().nonnegative().default(0) }),
      z.strictObject({
        kind: z.literal("plateau"),
        patience: z.int().positive().default(3),
        factor: z.number().positive().max(1).default(0.5),
      }),
    ])
    .default({ kind: "constant" }),
  batch: z.int().positive().max(65_536).default(32).describe("Examples in a batch"),
  fullBatch: z.boolean().default(false).describe("Gradient descent: all examples in every step"),
  balance: z.boolean().optional().describe("Every class counts alike, however rare, by the weights of its examples"),
  epochs: z.int().positive().default(20),
  patience: z.int().positive().optional().describe("Epochs without a better validation loss after which it ends"),
  clipNorm: z.number().positive().optional().describe("Longest the gradient may be"),
  anchor: z
    .number()
    .nonnegative()
    .default(0)
    .describe("How strongly weights are held to the bundle's own (FedProx's mu)"),
  seed: z.int().nonnegative().default(1),
});

/** The contract of a model bundle, format 1: what `card.yaml` says. */
export const cardSchema = z
  .strictObject({
    format: z.literal(1),
    name,
    version: z.int().positive(),
    parent: hash.nullable().default(null).describe("Content hash of the bundle this one was made from"),
    task: z.enum(["anomaly", "forecast", "classification", "regression", "detection", "embedding", "language"]),
    description: z.string().default(""),
    fields: z.array(field).default([]).describe("Columns of a window, in order"),
    period: duration.optional().describe("Time between two readings"),
    window: window.optional(),
    preprocess: z
      .strictObject({
        kind: z.enum(["image", "audio", "text"]),
        version: z.int().positive().describe("Of the preprocessing's code: another version is another model"),
        options: z.record(z.string(), z.unknown()).default({}),
      })
      .optional(),
    inputs: z.array(input).min(1),
    outputs: z.array(output).min(1),
    labels: z.array(z.string()).default([]),
    verdict: verdict.optional(),
    alarm: z
      .strictObject({ onAfter: z.int().positive(), offAfter: z.int().positive() })
      .optional()
      .describe("Windows in a row that raise and end an alarm, for which the metrics hold; the stream's own decide"),
    state: z
      .array(z.strictObject({ input: z.string(), output: z.string(), reset: z.enum(["gap", "start", "never"]) }))
      .default([]),
    loss: loss.optional(),
    target: target.optional(),
    fit: z.array(fit).default([]).describe("Statistics of the training slice, set before the weights are trained"),
    train: trainSchema.optional().describe("How it is trained, where nothing else is asked for"),
    trainable: z.record(z.string(), z.enum(["averaged", "local", "frozen", "personal"])).default({}),
    calibration: calibration.optional(),
    metrics: numbers.default({}),
    baselines: z.record(z.string(), numbers).default({}),
    data: z
      .strictObject({ name: z.string(), source: z.string(), licence: z.string(), readings: z.int().optional() })
      .optional(),
    licence: z.string().optional().describe("Of the weights, as an SPDX identifier"),
    training: z.record(z.string(), z.unknown()).default({}).describe("Manifest: what made the weights, from what, how"),
    golden: z.string().default("golden.ndjson").describe("File of golden samples in the bundle"),
  })
  .superRefine((card, context) => {
    for (const [path, message] of crossFaults(card)) context.addIssue({ code: "custom", path: [...path], message });
  });

export type Card = z.output<typeof cardSchema>;
export type CardOutput = Card["outputs"][number];

type Fault = readonly [path: readonly (string | number)[], message: string];

/** What no single key can tell: references between keys. */
function* crossFaults(card: Card): Generator<Fault> {
  const outputs = card.outputs.map((output) => output.name);
  const known = (what: string): string => `${JSON.stringify(what)} is no output (there are ${outputs.join(", ")})`;
  yield* repeated("fields", card.fields);
  yield* repeated("inputs", card.inputs);
  yield* repeated("outputs", card.outputs);
  const windows = card.inputs.filter(({ from }) => from === "window");
  if (windows.length > 1) yield [["inputs"], "at most one input may be from: window"];
  if (windows.length === 1 && (!card.window || card.fields.length === 0))
    yield [["window"], "an input from: window needs a window and fields"];
  for (const [i, input] of card.inputs.entries()) yield* inputFaults(card, input, ["inputs", i]);
  if (card.verdict && !outputs.includes(card.verdict.output)) yield [["verdict", "output"], known(card.verdict.output)];
  if (card.verdict && "labels" in card.verdict) {
    for (const [i, label] of card.verdict.labels.entries())
      if (!card.labels.includes(label))
        yield [["verdict", "labels", i], `${JSON.stringify(label)} is not among labels`];
  }
  for (const [i, { input, output }] of card.state.entries()) {
    if (!card.inputs.some(({ name, from }) => name === input && from === "state"))
      yield [["state", i, "input"], `${JSON.stringify(input)} is no input from: state`];
    if (!outputs.includes(output)) yield [["state", i, "output"], known(output)];
  }
}

function* inputFaults(card: Card, input: Card["inputs"][number], path: (string | number)[]): Generator<Fault> {
  if (input.from === "constant" && input.value === undefined) yield [[...path, "value"], "a constant needs a value"];
  if (input.from !== "window" || !card.window) return;
  const sizes = input.dims.slice(1);
  const size = sizes.reduce<number>((product, dim) => product * (typeof dim === "number" ? dim : Number.NaN), 1);
  const expected = card.window.size * card.fields.length;
  if (input.type !== "float32") yield [[...path, "type"], "windows are float32"];
  if (size !== expected) {
    const what = `${card.window.size} readings of ${card.fields.length} fields`;
    yield [[...path, "dims"], `[${input.dims.join(", ")}] does not hold a window of ${what} behind its batch`];
  }
}

function* repeated(key: string, entries: readonly { readonly name: string }[]): Generator<Fault> {
  for (const [i, { name }] of entries.entries())
    if (entries.findIndex((entry) => entry.name === name) < i)
      yield [[key, i, "name"], `${JSON.stringify(name)} is there twice`];
}
