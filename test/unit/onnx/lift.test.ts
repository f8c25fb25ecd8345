import { clone, create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Tensor, tensor } from "../../../src/base/tensor.ts";
import { loop } from "../../../src/onnx/control-flow.ts";
import { type Attributes, GraphBuilder, type Operand } from "../../../src/onnx/graph-builder.ts";
import { lift } from "../../../src/onnx/lift.ts";
import { opsetOf } from "../../../src/onnx/model-file.ts";
import {
  FunctionProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  ValueInfoProtoSchema,
} from "../../../src/onnx/onnx_pb.ts";
import { floats, ramp, runModel } from "../../support/run-model.ts";

/** Runs a model before and after lifting: equal to the bit. */
async function expectSame(model: ModelProto, feeds: Record<string, Tensor>): Promise<ModelProto> {
  const before = await runModel(model, feeds);
  const lifted = lift(clone(ModelProtoSchema, model));
  expect(opsetOf(lifted)).toBe(21);
  expect(lifted.irVersion).toBe(10n);
  expect(await runModel(lifted, feeds)).toEqual(before);
  return lifted;
}

type Case = {
  what: string;
  opset: number;
  op: string;
  x: Tensor;
  more?: Operand[];
  attributes?: Attributes;
  outputs?: number;
};

const image = ramp(1, 2, 4, 4);
const cube = ramp(2, 3, 4);
const half = tensor("float16", [3], Uint16Array.of(0x3e00, 0xc000, 0x4400));

const cases: Case[] = [
  ...[0, 1, 2].flatMap((axis) =>
    ["Softmax", "LogSoftmax", "Hardmax"].map((op) => ({
      what: `axis ${axis}`,
      opset: 9,
      op,
      x: cube,
      attributes: { axis },
    })),
  ),
  { what: "default axis", opset: 12, op: "Softmax", x: cube },
  { what: "negative axis", opset: 11, op: "LogSoftmax", x: cube, attributes: { axis: -2 } },
  { what: "limits", opset: 7, op: "Clip", x: cube, attributes: { min: -0.5, max: 0.7 } },
  { what: "one limit", opset: 9, op: "Clip", x: cube, attributes: { max: 0.7 } },
  { what: "no limits", opset: 10, op: "Clip", x: cube },
  { what: "zeros", opset: 7, op: "Pad", x: cube, attributes: { pads: [0, 1, 0, 0, 0, 2] } },
  { what: "a value", opset: 10, op: "Pad", x: cube, attributes: { pads: [0, 1, 0, 0, 0, 2], value: 1.5 } },
  { what: "reflection", opset: 10, op: "Pad", x: cube, attributes: { pads: [0, 1, 0, 0, 0, 2], mode: "reflect" } },
  { what: "all axes", opset: 7, op: "Slice", x: cube, attributes: { starts: [0, 1, 1], ends: [2, 3, 99] } },
  { what: "some axes", opset: 9, op: "Slice", x: cube, attributes: { starts: [-3], ends: [-1], axes: [2] } },
  { what: "k as attribute", opset: 7, op: "TopK", x: cube, attributes: { k: 2, axis: 1 }, outputs: 2 },
  { what: "k as input", opset: 10, op: "TopK", x: cube, more: [[2]], outputs: 2 },
  { what: "nearest", opset: 7, op: "Upsample", x: image, attributes: { scales: [1, 1, 2, 3], mode: "nearest" } },
  { what: "linear", opset: 7, op: "Upsample", x: image, attributes: { scales: [1, 1, 2, 2], mode: "linear" } },
  {
    what: "scales as input",
    opset: 9,
    op: "Upsample",
    x: image,
    more: [floats([4], [1, 1, 2, 2])],
    attributes: { mode: "linear" },
  },
  { what: "nearest, down", opset: 10, op: "Resize", x: image, more: [floats([4], [1, 1, 0.5, 0.6])] },
  {
    what: "linear",
    opset: 10,
    op: "Resize",
    x: image,
    more: [floats([4], [1, 1, 1.5, 2])],
    attributes: { mode: "linear" },
  },
  { what: "of inference", opset: 7, op: "Dropout", x: cube, attributes: { ratio: 0.3 } },
  { what: "of inference, default ratio", opset: 10, op: "Dropout", x: cube },
  { what: "axes", opset: 11, op: "Squeeze", x: ramp(1, 3, 1), attributes: { axes: [0] } },
  { what: "all axes", opset: 11, op: "Squeeze", x: ramp(1, 3, 1) },
  { what: "axes", opset: 7, op: "Unsqueeze", x: cube, attributes: { axes: [0, 4] } },
  ...["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare"].flatMap((kind) =>
    [7, 11, 13]
      .filter((opset) => kind !== "Sum" || opset < 13)
      .flatMap((opset) => [
        { what: "axes", opset, op: `Reduce${kind}`, x: cube, attributes: { axes: [1], keepdims: 0 } },
        { what: "all", opset, op: `Reduce${kind}`, x: cube },
      ]),
  ),
  { what: "sizes", opset: 11, op: "Split", x: cube, attributes: { split: [1, 2], axis: 1 }, outputs: 2 },
  { what: "equal parts", opset: 7, op: "Split", x: cube, attributes: { axis: 2 }, outputs: 2 },
  { what: "equal parts", opset: 13, op: "Split", x: cube, attributes: { axis: 1 }, outputs: 3 },
  {
    what: "updates",
    opset: 9,
    op: "Scatter",
    x: ramp(3, 3),
    more: [tensor("int64", [1, 2], BigInt64Array.of(2n, 0n)), ramp(1, 2)],
  },
  {
    what: "all channels alike",
    opset: 7,
    op: "BatchNormalization",
    x: image,
    more: [1, 2, 3, 4].map((n) => floats([2], [n, n + 0.5])),
    attributes: { spatial: 1 },
  },
  {
    what: "of inference",
    opset: 13,
    op: "BatchNormalization",
    x: image,
    more: [1, 2, 3, 4].map((n) => floats([2], [n, n + 0.5])),
  },
  {
    what: "a region",
    opset: 10,
    op: "RoiAlign",
    x: image,
    more: [floats([1, 4], [0, 0, 3, 3]), tensor("int64", [1], BigInt64Array.of(0n))],
    attributes: { output_height: 2, output_width: 2 },
  },
  { what: "linear", opset: 16, op: "GridSample", x: image, more: [ramp(1, 2, 2, 2)], attributes: { mode: "bilinear" } },
  { what: "along an axis", opset: 17, op: "DFT", x: ramp(1, 4, 2, 1), attributes: { axis: 2 } },
  { what: "along the default axis", opset: 17, op: "DFT", x: ramp(1, 4, 2, 1) },
  {
    what: "both states",
    opset: 7,
    op: "GRU",
    x: ramp(3, 1, 2),
    more: [ramp(1, 6, 2), ramp(1, 6, 2)],
    attributes: { hidden_size: 2 },
    outputs: 2,
  },
  { what: "windows", opset: 7, op: "MaxPool", x: image, attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
];

test.each(cases)(
  "$op of opset $opset ($what) means the same afterwards",
  async ({ opset, op, x, more = [], attributes, outputs = 1 }) => {
    const g = new GraphBuilder({ opset, irVersion: 4 });
    const input = g.input("x", x.type, x.dims);
    for (const [index, value] of g.ops(op, outputs, [input, ...more], attributes).entries())
      g.output(`y${index}`, value);
    await expectSame(g.model, { x });
  },
);

test("limits take the type of what they limit", async () => {
  const g = new GraphBuilder({ opset: 7, irVersion: 4 });
  // The type of the inner value is declared nowhere.
  g.output("y", g.op("Clip", [g.op("Neg", [g.input("x", "float16", [3])])], { min: -1.5, max: 1 }));
  await expectSame(g.model, { x: half });
});

test("subgraphs are lifted, with the constants where both graphs see them", async () => {
  const g = new GraphBuilder({ opset: 9, irVersion: 4 });
  const x = g.input("x", "float32", [2, 3, 4]);
  const { state } = loop(
    g,
    { trips: tensor("int64", [], BigInt64Array.of(3n)), state: [x] },
    (b, { state: [v = x] }) => {
      const clipped = b.op("Clip", [b.op("Softmax", [b.op("Add", [v, x])], { axis: 1 })], { min: 0.01 });
      return {
        state: [
          b.op("Unsqueeze", [b.op("Slice", [clipped], { starts: [0], ends: [2], axes: [0] })], { axes: [0] }),
        ].map((u) => b.op("Squeeze", [u], { axes: [0] })),
      };
    },
  );
  for (const value of state) g.output("y", value);
  await expectSame(g.model, { x: cube });
});

test("functions of the model are lifted", async () => {
  const g = new GraphBuilder({ opset: 12, irVersion: 8 });
  g.output("y", g.op("Squash", [g.input("x", "float32", [2, 3, 4])], {}, { domain: "mine" }));
  const inside = new GraphBuilder({ opset: 12 });
  inside.output(
    "s",
    inside.op(
      "Squeeze",
      [inside.op("Unsqueeze", [inside.op("Softmax", [inside.input("a", "float32")])], { axes: [0] })],
      { axes: [0] },
    ),
  );
  const opsetImport = inside.model.opsetImport;
  g.model.functions.push(
    create(FunctionProtoSchema, {
      name: "Squash",
      domain: "mine",
      input: ["a"],
      output: ["s"],
      node: inside.graph.node,
      opsetImport,
    }),
  );
  await expectSame(g.model, { x: cube });
});

test("weights of old files cease to be inputs", async () => {
  const g = new GraphBuilder({ opset: 7, irVersion: 3 });
  const w = g.initializer("w", floats([2], [3, 4]));
  g.output("y", g.add(g.input("x", "float32", [2]), w));
  const type = g.graph.input[0]?.type;
  g.graph.input.push(create(ValueInfoProtoSchema, { name: "w", ...(type ? { type } : {}) }));
  const lifted = await expectSame(g.model, { x: floats([2], [1, 1]) });
  expect(lifted.graph?.input.map(({ name }) => name)).toEqual(["x"]);
});

test("a lifted model is not changed by lifting it again", () => {
  const g = new GraphBuilder();
  g.output("y", g.softmax(g.input("x", "float32", ["n", 3]), 0));
  expect(lift(clone(ModelProtoSchema, g.model))).toEqual(g.model);
});

test("what cannot be lifted is refused with the node's name", () => {
  const newer = new GraphBuilder({ opset: 22 });
  expect(() => lift(newer.model)).toThrow(expect.objectContaining({ code: "MODEL_UNSUPPORTED" }));
  const g = new GraphBuilder({ opset: 18 });
  g.op("GroupNormalization", [g.input("x", "float32", [1, 4, 2, 2]), 1, 0], { num_groups: 2 }, { name: "norm" });
  expect(() => lift(g.model)).toThrow(expect.objectContaining({ message: expect.stringContaining("norm") }));
});
