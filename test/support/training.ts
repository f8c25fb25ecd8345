import { seededRandom } from "../../src/base/random.ts";
import { loadSession } from "../../src/drivers/onnxruntime.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import { GraphBuilder } from "../../src/onnx/graph-builder.ts";
import type { ModelProto } from "../../src/onnx/onnx_pb.ts";
import type { DataSet, Split } from "../../src/train/data-set.ts";
import type { TrainerInputs } from "../../src/train/trainer.ts";
import { floats } from "./run-model.ts";

const random = seededRandom(7);
const noise = (): number => random() + random() + random() - 1.5;

/** y = 3 x + 2, and a small network that is to learn a wave; both take `x` [batch, 1] and give `y` [batch, 1]. */
export function smallModel({ hidden = 8, dropout = 0 } = {}): ModelProto {
  const g = new GraphBuilder();
  const weights = seededRandom(3);
  const start = (...dims: number[]) =>
    floats(
      dims,
      Array.from({ length: dims.reduce((a, b) => a * b) }, () => weights() - 0.5),
    );
  const x = g.input("x", "float32", ["batch", 1]);
  const h = g.tanh(g.gemm(x, g.initializer("w1", start(1, hidden)), g.initializer("b1", start(hidden))));
  const dropped = dropout > 0 ? g.op("Dropout", [h, floats([], [dropout])]) : h;
  g.output("y", g.gemm(dropped, g.initializer("w2", start(hidden, 1)), g.initializer("b2", start(1))));
  return g.model;
}

/** The card of `smallModel`, with what differs. */
export const smallCard = (differing: Record<string, unknown> = {}): Card =>
  cardSchema.parse({
    format: 1,
    name: "wave",
    version: 1,
    task: "regression",
    inputs: [{ name: "x", dims: ["batch", 1], from: "media" }],
    outputs: [{ name: "y", kind: "value", dims: ["batch", 1] }],
    loss: { kind: "mse", output: "y" },
    target: { kind: "field", field: "y" },
    train: { rate: 0.02, batch: 16, epochs: 6, seed: 5 },
    trainable: { w1: "averaged", b1: "averaged", w2: "local", b2: "personal" },
    ...differing,
  });

/** Points of a noisy wave. */
export function waveData(count = 200): DataSet {
  const xs = Array.from({ length: count }, () => random() * 4 - 2);
  return dataSet(
    xs,
    xs.map((x) => Math.sin(2 * x) + 0.05 * noise()),
  );
}

/** Examples of one row each. */
export function dataSet(xs: readonly number[], ys: readonly number[]): DataSet {
  const count = xs.length;
  return {
    data: { x_rows: floats([count, 1], xs), y_rows: floats([count, 1], ys) },
    inputs: { x: { data: "x_rows", type: "float32", dims: [1] } },
    target: { data: "y_rows", type: "float32", dims: [1] },
    first: Int32Array.from(xs.keys()),
    weights: new Float32Array(count).fill(1),
    source: new Int32Array(count),
    ts: Float64Array.from(xs.keys()),
    marked: new Uint8Array(count),
    manifest: { from: "test", readings: count, examples: count, hash: "0".repeat(64), streams: [] },
  } as unknown as DataSet;
}

/** Every fifth example validates, the others train. */
export function everyFifth(count: number): Split {
  const all = Int32Array.from({ length: count }, (_, index) => index);
  return {
    train: all.filter((index) => index % 5 !== 0),
    validation: all.filter((index) => index % 5 === 0),
    calibration: new Int32Array(),
    test: new Int32Array(),
  };
}

/** What a trainer of the wave needs. */
export function waveTraining(differing: Partial<TrainerInputs> = {}): TrainerInputs {
  const card = differing.card ?? smallCard();
  const data = differing.data ?? waveData();
  if (!card.train) throw new Error("the card has no settings");
  return {
    card,
    model: smallModel(),
    data,
    split: everyFifth(data.first.length),
    settings: card.train,
    load: (bytes) => loadSession(bytes, { logSeverity: 4 }),
    ...differing,
  };
}
