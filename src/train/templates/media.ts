import { textVersion } from "../../preprocess/text.ts";
import { Network } from "../network.ts";
import type { MakeTemplate } from "./template.ts";

const classes = ["no", "yes"] as const;

/** Recognises small grey images: filters that slide over the picture, halved twice, then a layer of sums. */
export const cnn2d: MakeTemplate = (options) => {
  const { image, hidden, labels = classes } = options;
  const network = new Network(options.name, options.seed);
  const { g } = network;
  const pixels = g.input("image", "uint8", ["batch", image.height, image.width]);
  let x = g.unsqueeze(g.div(g.cast(pixels, "float32"), 255, { name: "grey" }), [1]);
  let width = 1;
  const [dense = 64, ...filters] = hidden.toReversed();
  for (const [index, size] of filters.toReversed().entries()) {
    x = network.pool(network.conv(`conv${index + 1}`, x, width, size, [3, 3], "relu"), 2);
    width = size;
  }
  const halved = (size: number): number => Math.floor(size / 2 ** filters.length);
  const area = width * halved(image.height) * halved(image.width);
  const flat = g.know(g.flatten(x), { type: "float32", shape: ["batch", area] });
  const features = network.dropout(network.dense("dense", flat, area, dense, "relu"), 0.4);
  g.output("logits", network.dense("output", g.know(features, { shape: ["batch", dense] }), dense, labels.length));
  return {
    model: g.model,
    card: {
      format: 1,
      name: options.name,
      version: 1,
      task: "classification",
      labels: [...labels],
      preprocess: { kind: "image", version: 1, options: { pixels: "gray8", ...image } },
      inputs: [{ name: "image", type: "uint8", dims: ["batch", image.height, image.width], from: "media" }],
      outputs: [{ name: "logits", kind: "logits", dims: ["batch", labels.length], tolerance: 0.01 }],
      loss: { kind: "crossEntropy", output: "logits" },
      target: { kind: "label" },
      trainable: Object.fromEntries(network.weights.map((weight) => [weight, "averaged" as const])),
      train: {
        optimizer: { kind: "adam" },
        rate: 2e-3,
        schedule: { kind: "cosine", least: 0 },
        batch: 64,
        epochs: 8,
      },
    },
  };
};

/** Sorts texts by their words. */
export const text: MakeTemplate = (options) => {
  const { buckets, hidden, labels = classes } = options;
  const network = new Network(options.name, options.seed);
  const { g } = network;
  const words = g.input("words", "float32", ["batch", buckets]);
  // A long text has more of every word: only the direction counts.
  const length = g.sqrt(g.add(g.sum(g.square(words), [1], { keep: true }), 1e-6));
  let x = g.div(words, length, { name: "direction" });
  let width = buckets;
  for (const [index, size] of hidden.entries()) {
    x = network.dense(`hidden${index + 1}`, g.know(x, { shape: ["batch", width] }), width, size, "relu");
    width = size;
  }
  g.output("logits", network.dense("output", g.know(x, { shape: ["batch", width] }), width, labels.length));
  return {
    model: g.model,
    card: {
      format: 1,
      name: options.name,
      version: 1,
      task: "classification",
      labels: [...labels],
      preprocess: { kind: "text", version: textVersion, options: { encoding: "hashed", buckets } },
      inputs: [{ name: "words", dims: ["batch", buckets], from: "media" }],
      outputs: [{ name: "logits", kind: "logits", dims: ["batch", labels.length], tolerance: 0.001 }],
      loss: { kind: "crossEntropy", output: "logits" },
      target: { kind: "label" },
      trainable: Object.fromEntries(network.weights.map((weight) => [weight, "averaged" as const])),
      train: { optimizer: { kind: "adamw", weightDecay: 0.01 }, rate: 2e-3, epochs: 15, patience: 4 },
    },
  };
};

/** A language model: which character comes next, at every place of a text. */
export const charLm: MakeTemplate = (options) => {
  const { alphabet, hidden, window } = options;
  const size = [...alphabet].length;
  const [width = 24, ...layers] = hidden;
  const network = new Network(options.name, options.seed);
  const { g } = network;
  const characters = g.input("characters", "int64", ["batch", window]);
  let x = network.embedding("embedding", characters, size, width);
  let inputs = width;
  for (const [index, units] of (layers.length > 0 ? layers : [128]).entries()) {
    x = network.recurrent("GRU", `recurrent${index + 1}`, x, inputs, units).all;
    inputs = units;
  }
  const flat = g.know(g.reshape(x, [-1, inputs]), { type: "float32", shape: [null, inputs] });
  const logits = g.reshape(network.dense("output", flat, inputs, size), [-1, window, size]);
  g.output("logits", logits);
  return {
    model: g.model,
    card: {
      format: 1,
      name: options.name,
      version: 1,
      task: "language",
      labels: [...alphabet],
      preprocess: { kind: "text", version: textVersion, options: { encoding: "characters", alphabet, length: window } },
      inputs: [{ name: "characters", type: "int64", dims: ["batch", window], from: "media" }],
      outputs: [{ name: "logits", kind: "logits", dims: ["batch", window, size], tolerance: 0.01 }],
      loss: { kind: "crossEntropy", output: "logits" },
      target: { kind: "next", horizon: 1 },
      trainable: Object.fromEntries(network.weights.map((weight) => [weight, "averaged" as const])),
      train: {
        optimizer: { kind: "adam" },
        rate: 2e-3,
        schedule: { kind: "cosine", least: 0 },
        epochs: 4,
        clipNorm: 1,
      },
    },
  };
};
