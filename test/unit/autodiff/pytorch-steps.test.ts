import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OptimizerSpec } from "../../../src/autodiff/optimizers.ts";
import { trainingGraph } from "../../../src/autodiff/training-graph.ts";
import { sizeOf, type Tensor, tensor } from "../../../src/base/tensor.ts";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";
import { int64s } from "../../../src/onnx/tensor-proto.ts";
import { floats, numbers, sessionPerModel } from "../../support/run-model.ts";

/** What steps.py wrote. Vectors: the weights, then what the optimizer keeps; base64 of float32 (before) or float64 (after). */
type Steps = {
  readonly rate: number;
  readonly batch: number;
  readonly dims: Readonly<Record<"w1" | "b1" | "w2" | "b2", readonly number[]>>;
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

/** tanh(x w1 + b1) w2 + b2 */
function perceptron() {
  const g = new GraphBuilder();
  const weight = (name: keyof Steps["dims"]) => {
    const dims = golden.dims[name];
    return g.initializer(name, floats(dims, Array(sizeOf(dims)).fill(0)));
  };
  const x = g.input("x", "float32", ["batch", 6]);
  const hidden = g.tanh(g.gemm(x, weight("w1"), weight("b1")));
  g.output("y", g.gemm(hidden, weight("w2"), weight("b2")));
  return g.model;
}

test.each(golden.runs)(
  "each step of $optimizer is at most twice as far from float64 as PyTorch's float32 is",
  async ({ optimizer, before, steps }) => {
    const { batch, rate } = golden;
    const { model, slots } = await trainingGraph(
      perceptron(),
      {
        inputs: { x: { data: "x_rows", type: "float32", dims: [6] } },
        output: "y",
        target: { data: "y_rows", type: "int64", dims: [] },
        loss: { kind: "crossEntropy" },
        optimizer: optimizers[optimizer],
        parameters: ["w1", "b1", "w2", "b2"],
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
        x_rows: floats([steps.length * batch, 6], singles(golden.x)),
        y_rows: int64s(golden.labels),
      });
      expect(numbers(results.losses)[0]).toBeCloseTo(loss, 6);
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
