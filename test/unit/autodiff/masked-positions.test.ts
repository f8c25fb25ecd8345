import { expect, test } from "vitest";
import { backward } from "../../../src/autodiff/backward.ts";
import { batchLoss } from "../../../src/autodiff/losses.ts";
import { type Tensor, tensor } from "../../../src/base/tensor.ts";
import { GraphBuilder, type Value } from "../../../src/onnx/graph-builder.ts";
import { int64s } from "../../../src/onnx/tensor-proto.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";

const inf = Number.POSITIVE_INFINITY;
const nan = Number.NaN;

/** The gradient of the sum of f(x) times d. */
async function pullback(x: number[], d: number[], f: (g: GraphBuilder, x: Value) => Value): Promise<number[]> {
  const g = new GraphBuilder();
  const at = g.input("x", "float32", [x.length]);
  const upstream = g.input("d", "float32", [d.length]);
  const y = f(g, at);
  const [gradient] = backward(g, g.sum(g.mul(y, upstream)), [at]);
  if (gradient) g.output("gradient", gradient);
  return numbers((await runModel(g.model, { x: floats([x.length], x), d: floats([d.length], d) })).gradient);
}

type Row = [string, number[], number[], number[], (g: GraphBuilder, x: Value) => Value];

/** What an operator switches off stays off, whatever stands there and whatever comes back from the loss. */
test.each<Row>([
  ["Relu", [-1, -inf, 2, 0], [nan, inf, 3, inf], [0, 0, 3, 0], (g, x) => g.relu(x)],
  ["ThresholdedRelu", [-1, 0.5, 2, 1], [nan, inf, 3, inf], [0, 0, 3, 0], (g, x) => g.op("ThresholdedRelu", [x])],
  ["Clip", [-inf, 5, 0.5, inf], [nan, inf, 3, nan], [0, 0, 3, 0], (g, x) => g.clip(x, 0, 1)],
  ["HardSigmoid", [-9, 9, 0, inf], [nan, inf, 5, nan], [0, 0, 1, 0], (g, x) => g.op("HardSigmoid", [x])],
  ["Max", [-inf, -1, 2, 3], [nan, inf, 3, 4], [0, 0, 3, 4], (g, x) => g.max(x, 0)],
  ["Min", [inf, 1, -2, -3], [nan, inf, 3, 4], [0, 0, 3, 4], (g, x) => g.min(x, 0)],
  [
    "Where",
    [nan, inf, 2, -inf],
    [nan, inf, 3, nan],
    [0, 0, 3, 0],
    (g, x) => g.where(g.constant(tensor("bool", [4], Uint8Array.of(0, 0, 1, 0))), x, 0),
  ],
  ["ReduceMax", [-inf, 1, 7, 2], [5], [0, 0, 5, 0], (g, x) => g.maximum(x)],
  ["ReduceMin", [inf, 1, -7, 2], [5], [0, 0, 5, 0], (g, x) => g.minimum(x)],
  ["Slice", [nan, inf, 2, nan], [3], [0, 0, 3, 0], (g, x) => g.slice(x, { starts: [2], ends: [3] })],
  [
    "Slice with steps",
    [1, nan, 2, inf],
    [3, 4],
    [3, 0, 4, 0],
    (g, x) => g.slice(x, { starts: [0], ends: [4], axes: [0], steps: [2] }),
  ],
  ["Pad", [1, 2], [nan, 3, 4, inf], [3, 4], (g, x) => g.pad(x, [1, 1])],
  ["Gather", [nan, 1, inf], [3, 4], [0, 7, 0], (g, x) => g.gather(x, [1, 1])],
  ["GatherElements", [nan, 1, inf], [3, 4], [0, 7, 0], (g, x) => g.op("GatherElements", [x, int64s([1, 1])])],
  ["TopK", [-inf, 1, 5], [3], [0, 0, 3], (g, x) => g.ops("TopK", 2, [x, [1]])[0] ?? x],
  ["Split", [nan, inf, 3], [2], [0, 0, 2], (g, x) => g.split(x, [2, 1], 2)[1] ?? x],
  // Masked attention: what is at minus infinity has no share and gets none.
  ["Softmax", [0, 0, -inf], [1, 3, 5], [-0.5, 0.5, 0], (g, x) => g.softmax(x)],
  ["ReduceLogSumExp", [0, 0, -inf], [4], [2, 2, 0], (g, x) => g.op("ReduceLogSumExp", [x])],
  ["ReduceL2", [0, 0], [4], [0, 0], (g, x) => g.op("ReduceL2", [x])],
])("%s does not let through what it masks", async (_, x, d, expected, f) => {
  expect(await pullback(x, d, f)).toEqual(expected);
});

/** Gradient with respect to the model's output, of the mean over a batch of two samples. */
async function lossGradient(
  spec: Parameters<typeof batchLoss>[4],
  output: Tensor,
  target: Tensor,
  weights: number[],
): Promise<number[]> {
  const g = new GraphBuilder();
  const at = g.input("output", "float32", output.dims);
  const wanted = g.input("target", target.type, target.dims);
  const { loss } = batchLoss(g, at, wanted, g.input("weights", "float32", [weights.length]), spec);
  const [gradient] = backward(g, loss, [at]);
  if (gradient) g.output("gradient", gradient);
  const feeds = { output, target, weights: floats([weights.length], weights) };
  return numbers((await runModel(g.model, feeds)).gradient);
}

test.each(["mse", "mae", "huber", "binaryCrossEntropy"] as const)(
  "a row that fills up a batch has no influence on %s, whatever it holds",
  async (kind) => {
    const alone = await lossGradient({ kind }, floats([1, 2], [0.5, -2]), floats([1, 2], [1, 0]), [1]);
    for (const held of [0, nan, inf]) {
      const output = floats([2, 2], [0.5, -2, held, -held]);
      const gradient = await lossGradient({ kind }, output, floats([2, 2], [1, 0, nan, inf]), [1, 0]);
      expect(gradient).toEqual([...alone, 0, 0]);
    }
  },
);

test("an ignored label, and a row that fills up, have no influence on cross entropy", async () => {
  const alone = await lossGradient({ kind: "crossEntropy" }, floats([1, 3], [1, 2, 3]), int64s([2]), [1]);
  const output = floats([3, 3], [1, 2, 3, nan, 1, inf, nan, nan, nan]);
  const spec = { kind: "crossEntropy", ignoreLabel: -1 } as const;
  const gradient = await lossGradient(spec, output, int64s([2, -1, 1]), [1, 1, 0]);
  expect(gradient).toEqual([...alone, 0, 0, 0, 0, 0, 0]);
});
