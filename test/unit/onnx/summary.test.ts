import { expect, test } from "vitest";
import { tensor } from "../../../src/base/tensor.ts";
import { loop } from "../../../src/onnx/control-flow.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { prune } from "../../../src/onnx/graph-walk.ts";
import { summarize } from "../../../src/onnx/summary.ts";
import { numbers, ramp, runModel } from "../../support/run-model.ts";

function looping(): GraphBuilder {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["n", 2]);
  const w = g.initializer("w", ramp(2, 2));
  const { state } = loop(
    g,
    { trips: tensor("int64", [], BigInt64Array.of(2n)), state: [x] },
    (b, { state: [v = x] }) => ({
      state: [b.relu(b.matmul(v, w))],
    }),
  );
  for (const value of state) g.output("y", g.relu(value));
  g.op("FusedMatMul", [x, g.initializer("unused", ramp(2, 3))], {}, { domain: "com.microsoft" });
  return g;
}

test("a summary counts parameters and operators, those of subgraphs included", () => {
  expect(summarize(looping().model)).toEqual({
    opset: 21,
    irVersion: 10,
    producer: "tidegate",
    parameters: 10,
    inputs: [{ name: "x", type: "float32", shape: ["n", 2] }],
    outputs: [{ name: "y", type: "float32", shape: ["n", 2] }],
    operators: [
      { op: "Relu", count: 2 },
      { op: "com.microsoft.FusedMatMul", count: 1 },
      { op: "Identity", count: 1 },
      { op: "Loop", count: 1 },
      { op: "MatMul", count: 1 },
    ],
  });
});

test("pruning removes what no output needs, and keeps what only a subgraph uses", async () => {
  const { model, graph } = looping();
  const before = await runModel(model, { x: ramp(1, 2) });
  prune(graph);
  expect(graph.node.map(({ opType }) => opType)).toEqual(["Loop", "Relu"]);
  expect(graph.initializer.map(({ name }) => name)).toContain("w");
  expect(graph.initializer.map(({ name }) => name)).not.toContain("unused");
  expect(numbers((await runModel(model, { x: ramp(1, 2) })).y)).toEqual(numbers(before.y));
});
