import { expect, test } from "vitest";
import { trainingGraph } from "../../../src/autodiff/training-graph.ts";
import type { TrainingSpec } from "../../../src/autodiff/training-spec.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { tensor } from "../../../src/base/tensor.ts";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";
import { floats, numbers, sessionPerModel } from "../../support/run-model.ts";

const line = () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 1]);
  const w = g.initializer("w", floats([1, 1], [0]));
  const b = g.initializer("b", floats([1], [0]));
  g.output("y", g.gemm(x, w, b));
  return g.model;
};

const spec: TrainingSpec = {
  inputs: { x: { data: "x_rows", type: "float32", dims: [1] } },
  output: "y",
  target: { data: "y_rows", type: "float32", dims: [1] },
  loss: { kind: "mse" },
  optimizer: { kind: "sgd" },
  parameters: ["w", "b"],
  batch: 20,
};

test("gradient descent finds the line that the points lie on", async () => {
  const random = seededRandom(1);
  const xs = Array.from({ length: 20 }, () => random() * 4 - 2);
  const { model, parameters } = await trainingGraph(line(), spec, sessionPerModel());
  const session = await loadSession(encodeModel(model));
  const steps = 500;
  const feeds = {
    weights: floats([2], [0, 0]),
    step: floats([], [0]),
    rates: floats([steps], Array(steps).fill(0.1)),
    indices: tensor(
      "int64",
      [steps, 20],
      BigInt64Array.from({ length: steps * 20 }, (_, i) => BigInt(i % 20)),
    ),
    sampleWeights: floats([steps, 20], Array(steps * 20).fill(1)),
    x_rows: floats([20, 1], xs),
    y_rows: floats(
      [20, 1],
      xs.map((x) => 3 * x + 2),
    ),
  };
  const results = await session.run(feeds);
  const [w, b] = numbers(results.weights_out);
  expect(w).toBeCloseTo(3, 5);
  expect(b).toBeCloseTo(2, 5);
  expect(parameters.slices.map(({ name }) => name)).toEqual(["w", "b"]);
  const losses = numbers(results.losses);
  expect(losses).toHaveLength(steps);
  expect(losses[0]).toBeGreaterThan(1);
  expect(losses.at(-1)).toBeLessThan(1e-10);
  await session.release();
});
