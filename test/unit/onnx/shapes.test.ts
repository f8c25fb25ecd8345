import { expect, test } from "vitest";
import { tensor } from "../../../src/base/tensor.ts";
import { branch, loop } from "../../../src/onnx/control-flow.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { declareShapes, learnShapes } from "../../../src/onnx/shapes.ts";
import { floats, ramp, sessionPerModel } from "../../support/run-model.ts";

test("dimensions that follow the batch are told from those that do not", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 4]);
  const rows = g.concat([x, g.constant(ramp(3, 4))], 0, { name: "rows" });
  const twice = g.concat([rows, rows], 0, { name: "twice" });
  g.shapeOf(twice, { name: "size" });
  g.output("y", g.matmul(twice, g.initializer("w", ramp(4, 2))));
  const { values, fixed } = await learnShapes(g.model, sessionPerModel());
  expect(Object.fromEntries([...values].filter(([name]) => !name.startsWith("const")))).toEqual({
    x: { type: "float32", shape: ["batch", 4] },
    w: { type: "float32", shape: [4, 2] },
    rows: { type: "float32", shape: ["batch+3", 4] },
    twice: { type: "float32", shape: ["2*batch+6", 4] },
    size: { type: "int64", shape: [2] },
    y: { type: "float32", shape: ["2*batch+6", 2] },
  });
  expect(fixed.size).toBe(0);
});

test("several symbols are kept apart, and a product of two is no guess", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", "time", 3]);
  const swapped = g.transpose(x, [1, 0, 2], { name: "swapped" });
  g.output("flat", g.reshape(swapped, [-1, 3]));
  const { values } = await learnShapes(g.model, sessionPerModel());
  expect(values.get("swapped")?.shape).toEqual(["time", "batch", 3]);
  expect(values.get("flat")?.shape).toEqual([null, 3]);
});

test("a size that is halved, or that depends on the data, is unknown", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 1, "width", 4]);
  g.output("pooled", g.op("MaxPool", [x], { kernel_shape: [2, 2], strides: [2, 2] }));
  g.output("found", g.op("NonZero", [g.greater(x, 0.5)]));
  const { values } = await learnShapes(g.model, sessionPerModel());
  expect(values.get("pooled")?.shape).toEqual(["batch", 1, null, 2]);
  expect(values.get("found")?.shape).toEqual([4, null]);
});

test("a batch that is built in is reported as fixed, the rest still varies", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 4]);
  const y = g.input("y", "float32", ["rows", 2]);
  g.output("flat", g.reshape(x, [1, 2, 2]));
  g.output("z", g.neg(y));
  const { values, fixed } = await learnShapes(g.model, sessionPerModel());
  expect([...fixed]).toEqual([["batch", 1]]);
  expect(values.get("flat")?.shape).toEqual([1, 2, 2]);
  expect(values.get("z")?.shape).toEqual(["rows", 2]);
});

test("dimensions without a name are one batch", async () => {
  const g = new GraphBuilder();
  g.output("y", g.add(g.input("a", "float32", [null, 2]), g.input("b", "float32", [null, 2])));
  const { values } = await learnShapes(g.model, sessionPerModel());
  expect(values.get("y")?.shape).toEqual(["dim0", 2]);
});

test("values from subgraphs, sequences and weights that are inputs do not get in the way", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["n", 2]);
  const w = g.initializer("w", floats([2], [1, 2]));
  const [either] = branch(
    g,
    g.greater(g.sum(x), 0),
    (b) => [b.mul(x, w)],
    () => [x],
  );
  const { scans } = loop(g, { trips: tensor("int64", [], BigInt64Array.of(3n)), state: [] }, (b) => ({
    state: [],
    scans: [b.neg(x)],
  }));
  g.op("SequenceConstruct", [x, x], {}, { name: "list" });
  if (!either || !scans[0]) throw new Error("no results");
  g.output("either", either);
  g.output("stack", scans[0]);
  const { values } = await learnShapes(g.model, sessionPerModel());
  expect(values.get("either")).toEqual({ type: "float32", shape: ["n", 2] });
  expect(values.get("stack")).toEqual({ type: "float32", shape: [3, "n", 2] });
  expect(values.has("list")).toBe(false);
});

test("a model that needs other data or sizes gets them", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["size"]);
  const n = g.input("n", "int64", [1]);
  g.output("y", g.reshape(x, g.concat([n, [-1]], 0)));
  const sample = (name: string) => (name === "n" ? tensor("int64", [1], BigInt64Array.of(2n)) : undefined);
  await expect(learnShapes(g.model, sessionPerModel(), { sample })).rejects.toMatchObject({ code: "MODEL_RUN_FAILED" });
  const { values, fixed } = await learnShapes(g.model, sessionPerModel(), { sample, sizes: { size: 6 } });
  expect(fixed.size + (values.get("y")?.shape?.length ?? 0)).toBeGreaterThan(1);
});

test("what was learnt is known to whoever writes on", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["n", 2]);
  g.output("y", g.neg(g.matmul(x, ramp(2, 5), { name: "product" })));
  const learnt = await learnShapes(g.model, sessionPerModel());
  declareShapes(g.model, learnt);
  expect(GraphBuilder.from(g.model).value("product")).toMatchObject({ type: "float32", shape: ["n", 5] });
});
