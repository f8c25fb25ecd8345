import { expect, test } from "vitest";
import { tensor } from "../../../src/base/tensor.ts";
import { branch, loop, scan } from "../../../src/onnx/control-flow.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { decodeModel, encodeModel } from "../../../src/onnx/model-file.ts";
import { floats, numbers, ramp, runModel } from "../../support/run-model.ts";

const int64 = (value: bigint) => tensor("int64", [], BigInt64Array.of(value));

test("a written formula computes what it says", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 2]);
  const w = g.initializer("w", floats([2, 2], [1, 2, 3, 4]));
  g.output("y", g.relu(g.sub(g.matmul(x, w), 10)));
  const { y } = await runModel(g.model, { x: floats([2, 2], [1, 1, 2, 3]) });
  expect(y?.dims).toEqual([2, 2]);
  expect(numbers(y)).toEqual([0, 0, 1, 6]);
});

test("every named operator is one that onnxruntime takes, and its type is known beforehand", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [2, 3]);
  const i = g.input("i", "int64", [2]);
  const b = g.greater(x, 0);
  const values = [
    g.add(x, 1),
    g.sub(1, x),
    g.mul(x, x),
    g.div(x, 2),
    g.pow(x, 2),
    g.min(x, 0),
    g.max(x, 0),
    g.neg(x),
    g.abs(x),
    g.sign(x),
    g.exp(x),
    g.log(g.abs(x)),
    g.sqrt(g.abs(x)),
    g.reciprocal(x),
    g.square(x),
    g.erf(x),
    g.sin(x),
    g.cos(x),
    g.relu(x),
    g.sigmoid(x),
    g.tanh(x),
    g.identity(x),
    g.clip(x, -0.2, null),
    g.softmax(x),
    g.logSoftmax(x, 0),
    g.cast(x, "float64"),
    g.cast(b, "int64"),
    g.equal(x, x),
    g.less(x, 0),
    g.lessOrEqual(x, 0),
    b,
    g.greaterOrEqual(x, 0),
    g.not(b),
    g.and(b, b),
    g.or(b, b),
    g.where(b, x, 0),
    g.where(b, 1, 0),
    g.matmul(x, g.transpose(x)),
    g.gemm(x, x, 1, { transB: 1, alpha: 2 }),
    g.sum(x),
    g.sum(x, [1], { keep: true }),
    g.sum(x, []),
    g.mean(x, [0]),
    g.maximum(x),
    g.minimum(x, [-1]),
    g.argMax(x, 1),
    g.shapeOf(x),
    g.reshape(x, [3, -1]),
    g.flatten(x, 0),
    g.transpose(x, [1, 0]),
    g.unsqueeze(x, [0]),
    g.squeeze(g.unsqueeze(x, [0]), [0]),
    g.expand(x, [4, 2, 3]),
    g.pad(x, [0, 1, 0, 1]),
    g.concat([x, x], 1),
    g.gather(x, i),
    g.slice(x, { starts: [1], ends: [3], axes: [1] }),
    ...g.split(x, [1, 2], 2, 1),
    g.zerosLike(x),
  ];
  for (const [index, value] of values.entries()) g.output(`out ${index}`, value);
  const results = await runModel(g.model, { x: ramp(2, 3), i: tensor("int64", [2], BigInt64Array.of(1n, 0n)) });
  for (const value of values.filter(({ name }) => name in results)) {
    expect([value.name, results[value.name]?.type]).toEqual([value.name, value.type]);
    if (value.shape) expect([value.name, results[value.name]?.dims]).toEqual([value.name, value.shape]);
  }
  expect(Object.keys(results)).toHaveLength(values.length);
});

test("equal constants are stored once, weights never", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [2]);
  g.initializer("w", floats([], [2]));
  g.output("y", g.add(g.mul(x, 2), g.div(x, 2)));
  expect(g.graph.initializer.map(({ name }) => name)).toEqual(["w", "const_2"]);
});

test("0 and -0 are two constants", async () => {
  const g = new GraphBuilder();
  g.output("y", g.div(1, g.constant(floats([], [0]))));
  g.output("z", g.div(1, g.constant(floats([], [-0]))));
  const { y, z } = await runModel(g.model);
  expect([numbers(y), numbers(z)]).toEqual([[Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY]]);
});

test("an output gets the name that was asked for, whatever it is an output of", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [1]);
  const y = g.neg(x);
  const later = g.neg(y);
  g.output('odd "name": 0', y);
  g.output("twice", y);
  g.output("same as input", x);
  g.output("later", later);
  const results = await runModel(g.model, { x: floats([1], [3]) });
  expect(Object.entries(results).map(([name, value]) => [name, numbers(value)[0]])).toEqual([
    ['odd "name": 0', -3],
    ["twice", -3],
    ["same as input", 3],
    ["later", 3],
  ]);
});

test("an output that a subgraph already uses can still be named", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [1]);
  const doubled = g.add(x, x);
  const { state } = loop(g, { trips: int64(3n), state: [x] }, (b, { state: [v] }) => ({
    state: [b.add(v ?? x, doubled)],
  }));
  g.output("doubled", doubled);
  for (const value of state) g.output("sum", value);
  const { sum } = await runModel(g.model, { x: floats([1], [1]) });
  expect(numbers(sum)).toEqual([7]);
});

test("a loop carries state, stacks results and stops when told", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", []);
  const {
    state: [last],
    scans: [all],
  } = loop(g, { trips: int64(10n), state: [x] }, (b, { state: [v = x] }) => {
    const next = b.mul(v, 2);
    return { state: [next], scans: [next], condition: b.less(next, 10) };
  });
  if (!last || !all) throw new Error("no results");
  g.output("last", last);
  g.output("all", all);
  const results = await runModel(g.model, { x: floats([], [1]) });
  expect([numbers(results.last), numbers(results.all)]).toEqual([[16], [2, 4, 8, 16]]);
});

test("a reversed scan runs from the end and leaves its results in the order of the sequence", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["time", 1]);
  const start = g.constant(floats([1], [0]));
  const {
    scans: [sums],
  } = scan(g, { state: [start], sequences: [x], reverse: true }, (b, { state: [h = start], elements: [e = start] }) => {
    const next = b.add(h, e);
    return { state: [next], scans: [next] };
  });
  if (!sums) throw new Error("no result");
  expect(sums.shape).toEqual([null, 1]);
  g.output("y", sums);
  const { y } = await runModel(g.model, { x: floats([3, 1], [1, 2, 3]) });
  expect(numbers(y)).toEqual([6, 5, 3]);
});

test("a branch takes one side", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", []);
  const [y] = branch(
    g,
    g.greater(x, 0),
    () => [x],
    (b) => [b.neg(x)],
  );
  if (!y) throw new Error("no result");
  g.output("y", y);
  expect(numbers((await runModel(g.model, { x: floats([], [-4]) })).y)).toEqual([4]);
  expect(numbers((await runModel(g.model, { x: floats([], [5]) })).y)).toEqual([5]);
});

test("a read model can be written on: its values are known by name, new names keep clear of them", async () => {
  const g = new GraphBuilder();
  g.output("relu", g.relu(g.input("x", "float32", ["n", 2])));
  const more = GraphBuilder.from(decodeModel(encodeModel(g.model)));
  expect(more.value("x")).toMatchObject({ type: "float32", shape: ["n", 2] });
  const relu = more.relu(more.neg(more.value("x")));
  expect(relu.name).toBe("relu_1");
  more.output("y", more.add(more.value("relu"), relu));
  const { y } = await runModel(more.model, { x: floats([1, 2], [-2, 3]) });
  expect(numbers(y)).toEqual([2, 3]);
});

test("operators of another domain and several outputs", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [4]);
  const [values, indices] = g.ops("TopK", ["best", "places"], [x, [2]], { axis: 0 });
  if (!values || !indices) throw new Error("no outputs");
  g.output("y", g.op("FusedMatMul", [values, values], {}, { domain: "com.microsoft" }));
  g.output("i", indices);
  expect(indices.type).toBe("int64");
  const { y, i } = await runModel(g.model, { x: floats([4], [1, 4, 2, 3]) });
  expect([numbers(y), numbers(i)]).toEqual([[25], [1, 3]]);
});

test("faults of the caller are told at once: taken names, foreign values, unknown values", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [1]);
  const other = new GraphBuilder();
  let inner = x;
  g.subgraph("body", (b) => {
    inner = b.neg(x);
  });
  const bug = expect.objectContaining({ code: "BUG" });
  expect(() => g.input("x", "float32")).toThrow(bug);
  expect(() => other.neg(x)).toThrow(bug);
  expect(() => g.neg(inner)).toThrow(bug);
  expect(() => g.value("y")).toThrow(bug);
});
