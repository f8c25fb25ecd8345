import { seededRandom } from "../../src/base/random.ts";
import { sizeOf, type Tensor } from "../../src/base/tensor.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import { GraphBuilder, type Value } from "../../src/onnx/graph-builder.ts";
import type { ModelProto } from "../../src/onnx/onnx_pb.ts";

/** A model to train, and how: the same for every peer. */
export type Workload = {
  readonly model: ModelProto;
  readonly card: Card;
  /** Shape of one row of data, and how many rows there are. */
  readonly dims: readonly number[];
  readonly rows: number;
  /** 0: it reconstructs its input. */
  readonly classes: number;
};

/** Layers write their weights under these names: `w1`, `b1`, `w2` … */
class Net {
  readonly g = new GraphBuilder();
  readonly parameters: string[] = [];
  readonly #random = seededRandom(1);

  dense(x: Value, inputs: number, outputs: number): Value {
    return this.g.gemm(x, this.#weight([inputs, outputs], inputs), this.#bias(outputs, inputs));
  }

  convolve(x: Value, inputs: number, outputs: number, kernel: number): Value {
    const fan = inputs * kernel * kernel;
    const weight = this.#weight([outputs, inputs, kernel, kernel], fan);
    const pads = Array(4).fill((kernel - 1) / 2);
    return this.g.op("Conv", [x, weight, this.#bias(outputs, fan)], { kernel_shape: [kernel, kernel], pads });
  }

  pool(x: Value): Value {
    return this.g.op("MaxPool", [x], { kernel_shape: [2, 2], strides: [2, 2] });
  }

  /** x [batch, time, inputs] to the last hidden state [batch, hidden]. */
  lstm(x: Value, inputs: number, hidden: number): Value {
    const [w, b] = [this.#weight([1, 4 * hidden, inputs], hidden), this.#stored("b", [1, 8 * hidden], hidden)];
    const r = this.#stored("r", [1, 4 * hidden, hidden], hidden);
    const operands = [this.g.transpose(x, [1, 0, 2]), w, r, b];
    const [, last] = this.g.ops("LSTM", ["", "last"], operands, { hidden_size: hidden });
    if (!last) throw new Error("an LSTM gives its last state");
    return this.g.squeeze(last, [0]);
  }

  #weight = (dims: readonly number[], fan: number): Value => this.#stored("w", dims, fan);
  #bias = (size: number, fan: number): Value => this.#stored("b", [size], fan);

  /** Uniform within 1 / sqrt(inputs), as PyTorch starts them. */
  #stored(letter: string, dims: readonly number[], fan: number): Value {
    const name = `${letter}${this.parameters.filter((each) => each.startsWith(letter)).length + 1}`;
    const limit = 1 / Math.sqrt(fan);
    const data = Float32Array.from({ length: sizeOf(dims) }, () => (this.#random() * 2 - 1) * limit);
    this.parameters.push(name);
    const stored: Tensor = { type: "float32", dims, data };
    return this.g.initializer(name, stored);
  }
}

/** 32-16-8-16-32, Adam: the size of what judges a window of sensor data. */
function autoencoder(): Workload {
  const net = new Net();
  const { g } = net;
  const x = g.input("x", "float32", ["batch", 32]);
  const code = g.relu(net.dense(g.relu(net.dense(x, 32, 16)), 16, 8));
  g.output("y", net.dense(g.relu(net.dense(code, 8, 16)), 16, 32));
  return { model: g.model, card: cardOf(net, [32], 32, 0), dims: [32], rows: 8192, classes: 0 };
}

/** 784-200-200-10, Adam. */
function mlp(): Workload {
  const net = new Net();
  const { g } = net;
  const x = g.input("x", "float32", ["batch", 784]);
  const hidden = g.relu(net.dense(g.relu(net.dense(x, 784, 200)), 200, 200));
  g.output("y", net.dense(hidden, 200, 10));
  return { model: g.model, card: cardOf(net, [784], 10, 10), dims: [784], rows: 4096, classes: 10 };
}

/** McMahan et al. 2017: two convolutions of 5 x 5 with pools, 512 hidden units, 1,663,370 parameters; plain descent. */
function cnn(): Workload {
  const net = new Net();
  const { g } = net;
  const dims = [1, 28, 28];
  const x = g.input("x", "float32", ["batch", ...dims]);
  const first = net.pool(g.relu(net.convolve(x, 1, 32, 5)));
  const second = net.pool(g.relu(net.convolve(first, 32, 64, 5)));
  const hidden = g.relu(net.dense(g.flatten(second), 3136, 512));
  g.output("y", net.dense(hidden, 512, 10));
  const train = { optimizer: { kind: "sgd" }, rate: 0.05 };
  return { model: g.model, card: cardOf(net, dims, 10, 10, train), dims, rows: 4096, classes: 10 };
}

/** 50 steps of 16 numbers through an LSTM of 64, Adam. */
function lstm(): Workload {
  const net = new Net();
  const dims = [50, 16];
  const x = net.g.input("x", "float32", ["batch", ...dims]);
  net.g.output("y", net.dense(net.lstm(x, 16, 64), 64, 10));
  return { model: net.g.model, card: cardOf(net, dims, 10, 10), dims, rows: 4096, classes: 10 };
}

export const workloads: Readonly<Record<string, () => Workload>> = { autoencoder, mlp, cnn, lstm };

const cardOf = (net: Net, dims: readonly number[], outputs: number, classes: number, train: object = {}): Card =>
  cardSchema.parse({
    format: 1,
    name: "bench",
    version: 1,
    task: classes === 0 ? "anomaly" : "classification",
    inputs: [{ name: "x", dims: ["batch", ...dims], from: "media" }],
    outputs: [{ name: "y", kind: classes === 0 ? "value" : "logits", dims: ["batch", outputs] }],
    loss: { kind: classes === 0 ? "mse" : "crossEntropy", output: "y" },
    target: classes === 0 ? { kind: "input", value: "x" } : { kind: "label", field: "label" },
    train: { rate: 1e-3, optimizer: { kind: "adam" }, batch: 32, epochs: 1_000_000, seed: 1, ...train },
    trainable: Object.fromEntries(net.parameters.map((parameter) => [parameter, "averaged"])),
  });
