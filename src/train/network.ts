import { type Random, seededRandom } from "../base/random.ts";
import { sizeOf, type Tensor, tensor } from "../base/tensor.ts";
import { GraphBuilder, type Value } from "../onnx/graph-builder.ts";

export type Activation = "linear" | "relu" | "tanh" | "sigmoid";

/**
 * A graph builder with layers: what is common to networks. Weights are drawn from a seed (He et al. 2015 before a relu,
 * Glorot and Bengio 2010 elsewhere); they are named `LAYER.weight`, `LAYER.bias`, and are all to be trained.
 */
export class Network {
  readonly g: GraphBuilder;
  /** Names of the weights, in the order in which they were made. */
  readonly weights: string[] = [];
  readonly #random: Random;

  constructor(name: string, seed: number) {
    this.g = new GraphBuilder({ name });
    this.#random = seededRandom(seed);
  }

  /** x [batch, …, inputs] to [batch, …, outputs]. */
  dense(layer: string, x: Value, inputs: number, outputs: number, activation: Activation = "linear"): Value {
    const w = this.#weight(`${layer}.weight`, [inputs, outputs], inputs, outputs, activation);
    const b = this.#zeros(`${layer}.bias`, [outputs]);
    const isMatrix = x.rank === 2;
    const sums = isMatrix ? this.g.gemm(x, w, b) : this.g.add(this.g.matmul(x, w), b);
    return this.activate(isMatrix ? this.g.know(sums, { shape: [x.shape?.[0] ?? null, outputs] }) : sums, activation);
  }

  /** x [batch, inputs, …space] to [batch, outputs, …space], the size of the space kept. */
  conv(
    layer: string,
    x: Value,
    inputs: number,
    outputs: number,
    kernel: readonly number[],
    activation: Activation,
  ): Value {
    const area = sizeOf(kernel);
    const w = this.#weight(`${layer}.weight`, [outputs, inputs, ...kernel], inputs * area, outputs * area, activation);
    const b = this.#zeros(`${layer}.bias`, [outputs]);
    const before = kernel.map((size) => Math.floor((size - 1) / 2));
    const after = kernel.map((size, axis) => size - 1 - (before[axis] ?? 0));
    return this.activate(
      this.g.op("Conv", [x, w, b], { kernel_shape: kernel, pads: [...before, ...after] }),
      activation,
    );
  }

  /** Halves each axis of the space. */
  pool(x: Value, axes: number): Value {
    const twos = Array<number>(axes).fill(2);
    return this.g.op("MaxPool", [x], { kernel_shape: twos, strides: twos });
  }

  /**
   * A recurrent layer over x [batch, time, inputs].
   * @returns all hidden states [batch, time, hidden], and the last [batch, hidden]
   */
  recurrent(
    kind: "RNN" | "GRU" | "LSTM",
    layer: string,
    x: Value,
    inputs: number,
    hidden: number,
  ): { all: Value; last: Value } {
    const gates = { RNN: 1, GRU: 3, LSTM: 4 }[kind] * hidden;
    const w = this.#weight(`${layer}.weight`, [1, gates, inputs], inputs, hidden, "tanh");
    const r = this.#weight(`${layer}.recurrent`, [1, gates, hidden], hidden, hidden, "tanh");
    const b = this.#zeros(`${layer}.bias`, [1, 2 * gates]);
    const attributes = { hidden_size: hidden, ...(kind === "GRU" ? { linear_before_reset: 1 } : {}) };
    const [states, last] = this.g.ops(
      kind,
      [`${layer}.states`, `${layer}.last`],
      [this.g.transpose(x, [1, 0, 2]), w, r, b],
      attributes,
    );
    if (!states || !last) throw new Error("a recurrent layer has two results");
    return { all: this.g.transpose(this.g.squeeze(states, [1]), [1, 0, 2]), last: this.g.squeeze(last, [0]) };
  }

  /** Rows of a table by number: x int64 [batch, …] to [batch, …, width]. */
  embedding(layer: string, x: Value, size: number, width: number): Value {
    return this.g.gather(this.#weight(`${layer}.weight`, [size, width], width, width, "linear"), x);
  }

  dropout(x: Value, share: number): Value {
    return this.g.op("Dropout", [x, tensor("float32", [], Float32Array.of(share))]);
  }

  /** A stored tensor that is no weight: a statistic, a threshold. */
  stored(name: string, dims: readonly number[], value: number): Value {
    return this.g.initializer(
      name,
      filled(dims, () => value),
    );
  }

  activate(x: Value, activation: Activation): Value {
    if (activation === "linear") return x;
    return this.g[activation](x);
  }

  #zeros(name: string, dims: readonly number[]): Value {
    this.weights.push(name);
    return this.g.initializer(
      name,
      filled(dims, () => 0),
    );
  }

  #weight(name: string, dims: readonly number[], into: number, outOf: number, activation: Activation): Value {
    this.weights.push(name);
    const bound = activation === "relu" ? Math.sqrt(6 / into) : Math.sqrt(6 / (into + outOf));
    return this.g.initializer(
      name,
      filled(dims, () => (this.#random() * 2 - 1) * bound),
    );
  }
}

const filled = (dims: readonly number[], value: () => number): Tensor<"float32"> =>
  tensor("float32", dims, Float32Array.from({ length: sizeOf(dims) }, value));
