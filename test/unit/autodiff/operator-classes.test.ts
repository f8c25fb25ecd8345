import { describe, expect, test } from "vitest";
import { backward } from "../../../src/autodiff/backward.ts";
import { classOf, gradients, zeroGradients } from "../../../src/autodiff/gradient-table.ts";
import { branch, loop, scan } from "../../../src/onnx/control-flow.ts";
import { GraphBuilder, type Value } from "../../../src/onnx/graph-builder.ts";
import { int64s } from "../../../src/onnx/tensor-proto.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";

/** The gradient of a loss made from the parameter w of [2, 3]. */
async function gradientOf(write: (g: GraphBuilder, w: Value) => Value): Promise<number[]> {
  const g = new GraphBuilder();
  const w = g.initializer("w", floats([2, 3], [1, -2, 3, -4, 5, -6]));
  const [gradient] = backward(g, g.sum(write(g, w)), [w]);
  if (!gradient) throw new Error("no gradient");
  g.output("gradient", gradient);
  return numbers((await runModel(g.model)).gradient);
}

const zeros = [0, 0, 0, 0, 0, 0];

describe("operators without a slope", () => {
  test("hand on nothing, and what is beside them does", async () => {
    const gradient = await gradientOf((g, w) => g.add(g.op("Floor", [w]), g.mul(w, g.sign(w))));
    expect(gradient).toEqual([1, -1, 1, -1, 1, -1]);
  });

  test("cut the way: a loss behind them has a gradient of zero", async () => {
    expect(await gradientOf((g, w) => g.op("Round", [w]))).toEqual(zeros);
    expect(await gradientOf((g, w) => g.cast(g.argMax(w, 1), "float32"))).toEqual(zeros);
    expect(await gradientOf((g, w) => g.cast(g.cast(w, "int32"), "float32"))).toEqual(zeros);
    expect(await gradientOf((g, w) => g.cast(g.shapeOf(w), "float32"))).toEqual(zeros);
  });

  test("are passed by a value that only chooses", async () => {
    expect(await gradientOf((g, w) => g.where(g.greater(w, 0), g.mul(w, 3), 0))).toEqual([3, 0, 3, 0, 3, 0]);
    const bestRow = (g: GraphBuilder, w: Value): Value => g.argMax(g.sum(w, [1]), 0);
    expect(await gradientOf((g, w) => g.gather(w, bestRow(g, w)))).toEqual([1, 1, 1, 0, 0, 0]);
  });

  test("are no rules as well", () => {
    expect([...zeroGradients].filter((op) => Object.hasOwn(gradients, op))).toEqual([]);
  });
});

test("a cast to another real type passes the gradient in the type of its input", async () => {
  const twice = (g: GraphBuilder, w: Value): Value => g.mul(g.cast(w, "float64"), 2);
  expect(await gradientOf((g, w) => g.cast(twice(g, w), "float32"))).toEqual([2, 2, 2, 2, 2, 2]);
  expect(await gradientOf((g, w) => g.op("CastLike", [twice(g, w), w]))).toEqual([2, 2, 2, 2, 2, 2]);
  expect(await gradientOf(twice)).toEqual([2, 2, 2, 2, 2, 2]);
});

describe("operators that are refused", () => {
  const state = (g: GraphBuilder, w: Value): Value => g.know(g.identity(w), { type: "float32", shape: [2, 3] });

  test.each<[string, string, (g: GraphBuilder, w: Value) => Value | undefined]>([
    [
      "If",
      "choice",
      (g, w) => {
        const isPositive = g.greater(g.sum(w), 0);
        return branch(
          g,
          isPositive,
          (b) => [b.mul(w, 2)],
          (b) => [b.mul(w, 3)],
          "choice",
        )[0];
      },
    ],
    [
      "Loop",
      "identity_out",
      (g, w) => {
        const trips = g.squeeze(g.constant(int64s([3])), [0]);
        return loop(g, { trips, state: [state(g, w)] }, (b, { state: [x = w] }) => ({ state: [b.mul(x, 2)] })).state[0];
      },
    ],
    [
      "Scan",
      "mul_all",
      (g, w) => {
        const sequences = [state(g, w)];
        return scan(g, { state: [], sequences }, (b, { elements: [x = w] }) => ({ state: [], scans: [b.mul(x, 2)] }))
          .scans[0];
      },
    ],
    ["Det", "volume", (g, w) => g.op("Det", [g.matmul(w, g.transpose(w))], {}, { name: "volume" })],
    ["Relu", "theirs", (g, w) => g.op("Relu", [w], {}, { name: "theirs", domain: "com.example" })],
  ])("%s on the way from a weight to the loss is named", async (op, node, write) => {
    const attempt = gradientOf((g, w) => write(g, w) ?? w);
    const remedy = expect.stringContaining("Freeze the weights before it");
    await expect(attempt).rejects.toMatchObject({ code: "MODEL_UNTRAINABLE", facts: { node, op, remedy } });
  });

  test("a node of another domain is refused even under a name that has a rule", () => {
    expect(classOf("Relu", "com.microsoft")).toBe("refused");
    expect(classOf("Relu", "ai.onnx")).toBe("rule");
  });

  test("beside the way they do no harm", async () => {
    const gradient = await gradientOf((g, w) => {
      const x = g.constant(floats([1, 3], [2, 3, 4]));
      return g.mul(w, g.op("Trilu", [x]));
    });
    expect(gradient).toEqual([2, 3, 4, 2, 3, 4]);
  });

  test("an input that a rule has no gradient for is named, not taken for zero", async () => {
    const attempt = gradientOf((g, w) => {
      const scores = g.constant(floats([1, 3], [1, 2, 3]));
      const weights = g.squeeze(g.slice(w, { starts: [0], ends: [1], axes: [0] }), [0]);
      return g.op("NegativeLogLikelihoodLoss", [scores, [1], weights]);
    });
    await expect(attempt).rejects.toThrow("class weights cannot be trained");
  });
});
