import { describe, expect, test } from "vitest";
import { trainingGraph } from "../../../src/autodiff/training-graph.ts";
import type { TrainingSpec } from "../../../src/autodiff/training-spec.ts";
import { type Tensor, tensor } from "../../../src/base/tensor.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import type { ModelProto } from "../../../src/onnx/onnx_pb.ts";
import { floats, numbers, runModel, sessionPerModel } from "../../support/run-model.ts";

const rows = [1, -2, 3, 4, 5, -6, 7, 10];
const [batch, width] = [4, 2];

/** Mean absolute error against 0, so that the loss tells what came out; one step of plain descent. */
const spec = (parameters: readonly string[]): TrainingSpec => ({
  inputs: { x: { data: "rows", type: "float32", dims: [width] } },
  output: "y",
  target: { data: "zeros", type: "float32", dims: [width] },
  loss: { kind: "mae" },
  optimizer: { kind: "sgd" },
  parameters,
  batch,
});

async function step(model: ModelProto, parameters: readonly string[], more: Record<string, Tensor> = {}) {
  const graph = await trainingGraph(model, spec(parameters), sessionPerModel());
  const flat = (data: Float32Array): Tensor => tensor("float32", [data.length], data);
  const results = await runModel(graph.model, {
    weights: flat(graph.parameters.pack(model)),
    ...(graph.moments.length > 0 ? { moments: flat(graph.moments.pack(model)) } : {}),
    step: floats([], [0]),
    rates: floats([1], [1]),
    indices: tensor("int64", [1, batch], BigInt64Array.of(0n, 1n, 2n, 3n)),
    sampleWeights: floats([1, batch], Array(batch).fill(1)),
    rows: floats([batch, width], rows),
    zeros: floats([batch, width], Array(batch * width).fill(0)),
    ...more,
  });
  return { graph, results };
}

const inputsOf = (model: ModelProto): string[] => (model.graph?.input ?? []).map(({ name }) => name);
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
const meanSize = (values: readonly number[]): number => mean(values.map(Math.abs));

describe("batch normalisation", () => {
  const normalised = (): ModelProto => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["batch", width]);
    const stored = [
      g.initializer("scale", floats([2], [1, 2])),
      g.initializer("bias", floats([2], [0.5, 0])),
      g.initializer("mean", floats([2], [10, 20])),
      g.initializer("variance", floats([2], [4, 9])),
    ];
    g.output("y", g.op("BatchNormalization", [x, ...stored], { epsilon: 0.001, momentum: 0.75 }));
    return g.model;
  };
  const columns = [0, 1].map((column) => rows.filter((_, index) => index % width === column));

  test("follows the data by its momentum, with the biased variance, as onnxruntime has it", async () => {
    const { graph, results } = await step(normalised(), ["scale", "bias"]);
    expect(graph.moments.slices.map(({ name }) => name)).toEqual(["mean", "variance"]);
    const means = columns.map(mean);
    const variances = columns.map((column, index) => mean(column.map((value) => (value - (means[index] ?? 0)) ** 2)));
    const followed = [10, 20, 4, 9].map((old, index) => 0.75 * old + 0.25 * ([...means, ...variances][index] ?? 0));
    for (const [index, value] of numbers(results.moments_out).entries())
      expect(value).toBeCloseTo(followed[index] ?? 0, 4);
    const output = columns.flatMap((column, index) =>
      column.map((value) => {
        const hat = (value - (means[index] ?? 0)) / Math.sqrt((variances[index] ?? 0) + 0.001);
        return hat * (index + 1) + (index === 0 ? 0.5 : 0);
      }),
    );
    expect(numbers(results.losses)[0]).toBeCloseTo(meanSize(output), 5);
  });

  test("stays as in inference where its scale is frozen", async () => {
    const { graph, results } = await step(normalised(), ["bias"]);
    expect(graph.moments.length).toBe(0);
    expect(inputsOf(graph.model)).not.toContain("moments");
    const output = columns.flatMap((column, index) =>
      column.map((value) => {
        const hat = index === 0 ? (value - 10) / Math.sqrt(4.001) : (value - 20) / Math.sqrt(9.001);
        return hat * (index + 1) + (index === 0 ? 0.5 : 0);
      }),
    );
    expect(numbers(results.losses)[0]).toBeCloseTo(meanSize(output), 5);
  });
});

describe("dropout", () => {
  const dropping = (): ModelProto => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["batch", width]);
    const scaled = g.mul(x, g.initializer("w", floats([2], [1, 1])));
    g.output("y", g.op("Dropout", [scaled, floats([], [0.25])]));
    return g.model;
  };
  /** 0.25 is kept: what is below the rate is dropped. */
  const noise = [0.1, 0.9, 0.3, 0.24, 0.25, 0.5, 0, 0.999];
  const kept = rows.map((value, index) => ((noise[index] ?? 0) < 0.25 ? 0 : value / 0.75));

  test("drops by the noise that is fed, and divides what it keeps by the share that is kept", async () => {
    const { graph, results } = await step(dropping(), ["w"], { noise: floats([1, rows.length], noise) });
    expect(graph.noiseLength).toBe(rows.length);
    expect(numbers(results.losses)[0]).toBeCloseTo(meanSize(kept), 6);
    // d|y|/dw is |y| at w = 1, and 0 where it was dropped.
    const gradient = [0, 1].map((column) => sum(kept.map((y, index) => (index % 2 === column ? Math.abs(y) : 0))) / 8);
    for (const [index, weight] of numbers(results.weights_out).entries())
      expect(weight).toBeCloseTo(1 - (gradient[index] ?? 0), 5);
  });

  test("is absent where a model is judged", async () => {
    const { graph } = await step(dropping(), ["w"], { noise: floats([1, rows.length], noise) });
    expect(inputsOf(graph.model)).toContain("noise");
    expect(inputsOf(graph.evaluation)).not.toContain("noise");
    const feeds = {
      weights: floats([2], [1, 1]),
      indices: tensor("int64", [1, batch], BigInt64Array.of(0n, 1n, 2n, 3n)),
      sampleWeights: floats([1, batch], Array(batch).fill(1)),
      rows: floats([batch, width], rows),
      zeros: floats([batch, width], Array(batch * width).fill(0)),
    };
    expect(numbers((await runModel(graph.evaluation, feeds)).losses)[0]).toBeCloseTo(meanSize(rows), 6);
  });
});

describe("a pool behind a Relu", () => {
  const pooling = (): ModelProto => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["batch", width]);
    const shifted = g.reshape(g.add(x, g.initializer("w", floats([2], [0, 0]))), [-1, 1, 2]);
    const relu = g.relu(shifted, { name: "cut" });
    g.output("y", g.op("MaxPool", [relu], { kernel_shape: [2], strides: [2] }));
    return g.model;
  };
  const target = { data: "zeros", type: "float32", dims: [1, 1] } as const;
  const order = (model: ModelProto): string[] =>
    (model.graph?.node.find(({ opType }) => opType === "Loop")?.attribute[0]?.g?.node ?? [])
      .map(({ opType }) => opType)
      .filter((op) => op === "Relu" || op === "MaxPool");

  test("goes before it, and gives the gradient to the same place", async () => {
    const graph = await trainingGraph(pooling(), { ...spec(["w"]), target }, sessionPerModel());
    expect(order(graph.model)).toEqual(["MaxPool", "Relu"]);
    const results = await runModel(graph.model, {
      weights: floats([2], [0, 0]),
      step: floats([], [0]),
      rates: floats([1], [4]),
      indices: tensor("int64", [1, batch], BigInt64Array.of(0n, 1n, 2n, 3n)),
      sampleWeights: floats([1, batch], Array(batch).fill(1)),
      // The first of two equal ones; none where nothing is above 0.
      rows: floats([batch, width], [1, 3, 2, 2, -1, -2, 0, 0]),
      zeros: floats([batch, 1, 1], [0, 0, 0, 0]),
    });
    expect(numbers(results.losses)).toEqual([(3 + 2) / 4]);
    expect(numbers(results.weights_out)).toEqual([-1, -1]);
  });

  test("stays where the value between them is the one that is compared", async () => {
    const looked = { ...spec(["w"]), output: "cut", target: { ...target, dims: [1, 2] } };
    const model = pooling();
    const relu = model.graph?.node.find(({ opType }) => opType === "Relu");
    const graph = await trainingGraph(model, { ...looked, output: relu?.output[0] ?? "" }, sessionPerModel());
    expect(order(graph.model)).not.toContain("MaxPool");
    expect(order(graph.model)).toContain("Relu");
  });
});
