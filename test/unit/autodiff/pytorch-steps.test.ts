import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OptimizerSpec } from "../../../src/autodiff/optimizers.ts";
import { trainingGraph } from "../../../src/autodiff/training-graph.ts";
import { sizeOf, type Tensor, tensor } from "../../../src/base/tensor.ts";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { GraphBuilder, type Value } from "../../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";
import { int64s } from "../../../src/onnx/tensor-proto.ts";
import { floats, numbers, sessionPerModel } from "../../support/run-model.ts";

/** What steps.py wrote. Vectors: the weights, then what the optimizer keeps; base64 of float32 (before) or float64 (after). */
type Steps = { readonly rate: number; readonly batch: number; readonly models: readonly GoldenModel[] };

type GoldenModel = {
  readonly model: keyof typeof networks;
  /** Shape of an example, and of each weight in the order of the vectors. */
  readonly example: readonly number[];
  readonly dims: Readonly<Record<string, readonly number[]>>;
  readonly x: string;
  readonly labels: readonly number[];
  readonly runs: readonly {
    readonly optimizer: "sgd" | "adam";
    readonly before: readonly string[];
    readonly steps: readonly {
      readonly after: readonly string[];
      readonly loss: number;
      /** Largest error of PyTorch's own float32, by vector. */
      readonly float32: readonly number[];
    }[];
  }[];
};

type Network = (g: GraphBuilder, x: Value, weights: Readonly<Record<string, Value>>) => Value;

const pads = (size: number): number[] => Array(4).fill(size);

/** The networks of steps.py. */
const networks = {
  mlp: (g, x, { w1 = x, b1 = x, w2 = x, b2 = x }) => g.gemm(g.tanh(g.gemm(x, w1, b1)), w2, b2),
  cnn: (g, x, { k1 = x, c1 = x, k2 = x, c2 = x, w = x, b = x }) => {
    const first = g.relu(g.op("Conv", [x, k1, c1], { pads: pads(1) }));
    const pooled = g.op("MaxPool", [first], { kernel_shape: [2, 2], strides: [2, 2] });
    const second = g.relu(g.op("Conv", [pooled, k2, c2], { pads: pads(2), group: 2 }));
    const last = g.op("MaxPool", [second], { kernel_shape: [3, 3], strides: [2, 2], pads: pads(1) });
    return g.gemm(g.flatten(last), w, b);
  },
  lstm: (g, x, { w = x, r = x, b = x, wo = x, bo = x }) => {
    const [, last = x] = g.ops("LSTM", 2, [g.transpose(x, [1, 0, 2]), w, r, b], { hidden_size: 5 });
    return g.gemm(g.squeeze(last, [0]), wo, bo);
  },
} satisfies Record<string, Network>;

const file = join(import.meta.dirname, "../../support/pytorch/steps.json");
const golden: Steps = JSON.parse(readFileSync(file, "utf8"));
const optimizers: Readonly<Record<"sgd" | "adam", OptimizerSpec>> = {
  sgd: { kind: "sgd", momentum: 0.9 },
  adam: { kind: "adam" },
};

/** What a vector of ours is multiplied by to be PyTorch's: Adam keeps mean / (1 - beta1) and square / (1 - beta2). */
const units = { sgd: [1, 1], adam: [1, 1 - 0.9, 1 - 0.999] } as const;

const bytesOf = (text: string): ArrayBuffer => Uint8Array.from(Buffer.from(text, "base64")).buffer;
const singles = (text: string): number[] => [...new Float32Array(bytesOf(text))];
const doubles = (text: string): number[] => [...new Float64Array(bytesOf(text))];

function modelOf({ model, example, dims }: GoldenModel) {
  const g = new GraphBuilder();
  const weight = (name: string, shape: readonly number[]) =>
    g.initializer(name, floats(shape, Array(sizeOf(shape)).fill(0)));
  const x = g.input("x", "float32", ["batch", ...example]);
  const weights = Object.fromEntries(Object.entries(dims).map(([name, shape]) => [name, weight(name, shape)]));
  g.output("y", (networks[model] as Network)(g, x, weights));
  return g.model;
}

const runs = golden.models.flatMap((network) => network.runs.map((run) => ({ ...network, ...run, network })));

test.each(runs)(
  "each step of $model with $optimizer is at most twice as far from float64 as PyTorch's float32 is",
  async ({ network, optimizer, before, steps, example, dims, x, labels }) => {
    const { batch, rate } = golden;
    const { model, slots } = await trainingGraph(
      modelOf(network),
      {
        inputs: { x: { data: "x_rows", type: "float32", dims: example } },
        output: "y",
        target: { data: "y_rows", type: "int64", dims: [] },
        loss: { kind: "crossEntropy" },
        optimizer: optimizers[optimizer],
        parameters: Object.keys(dims),
        batch,
      },
      sessionPerModel(),
    );
    const session = await loadSession(encodeModel(model));
    const names = ["weights", ...slots];
    const unitOf = (place: number): number => units[optimizer][place] ?? 1;
    const inOurs = (values: readonly number[], place: number) =>
      values.map((each) => Math.fround(each / unitOf(place)));
    let state = before.map(singles).map(inOurs);
    const worst = names.map(() => ({ ours: 0, theirs: 0 }));
    for (const [index, { after, loss, float32 }] of steps.entries()) {
      const rows = Array.from({ length: batch }, (_, row) => BigInt(index * batch + row));
      const results = await session.run({
        ...Object.fromEntries(names.map((name, place): [string, Tensor] => [name, vector(state[place] ?? [])])),
        step: floats([], [index]),
        rates: floats([1], [rate]),
        indices: tensor("int64", [1, batch], BigInt64Array.from(rows)),
        sampleWeights: floats([1, batch], Array(batch).fill(1)),
        x_rows: floats([steps.length * batch, ...example], singles(x)),
        y_rows: int64s(labels),
      });
      expect((numbers(results.losses)[0] ?? 0) / loss).toBeCloseTo(1, 6);
      const expected = after.map(doubles);
      for (const [place, each] of worst.entries()) {
        const actual = numbers(results[`${names[place]}_out`]);
        const off = (expected[place] ?? []).map((value, nth) =>
          Math.abs(value - (actual[nth] ?? Number.NaN) * unitOf(place)),
        );
        each.ours = Math.max(each.ours, ...off);
        each.theirs = Math.max(each.theirs, float32[place] ?? Number.NaN);
      }
      state = expected.map(inOurs);
    }
    await session.release();
    for (const [place, { ours, theirs }] of worst.entries())
      expect(ours / theirs, `${names[place]}: ${ours} against ${theirs}`).toBeLessThanOrEqual(2);
  },
);

const vector = (values: readonly number[]): Tensor => floats([values.length], values);
