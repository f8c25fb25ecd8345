import { describe, expect, test } from "vitest";
import type { Tensor } from "../../../src/base/tensor.ts";
import { cardSchema } from "../../../src/inference/card.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";
import { quantize } from "../../../src/onnx/quantize.ts";
import { sampleTensor } from "../../../src/onnx/sample-tensor.ts";
import { templateOptions, templates } from "../../../src/train/templates/template-table.ts";
import { numbers, runModel } from "../../support/run-model.ts";

/** Whole numbers that are not all 0: pixels, characters. */
const varied = (sample: Tensor): Tensor => {
  if (sample.type === "uint8") return { ...sample, data: sample.data.map((_, i) => (i * 37) % 256) };
  return sample.type === "int64" ? { ...sample, data: sample.data.map((_, i) => BigInt((i * 7) % 90)) } : sample;
};

const names = ["mlp", "cnn1d", "cnn2d", "gru", "lstm", "text", "char-lm", "autoencoder"];

describe.each(["weights", "dynamic"] as const)("a model in 8-bit integers (%s)", (mode) => {
  test.each(names)("%s is a quarter of the size and gives nearly the same", async (name) => {
    const { model, card } =
      templates[name]?.make(templateOptions(name, { name: "m", fields: ["a", "b"], labels: ["x", "y"] })) ??
      expect.unreachable();
    const before = encodeModel(model).length;
    const { model: small, tensors } = quantize(model, mode);
    expect(tensors.length).toBeGreaterThan(0);
    if (before > 10_000) expect(encodeModel(small).length / before).toBeLessThan(0.5);
    const { inputs, outputs } = cardSchema.parse(card);
    const feeds = Object.fromEntries(
      inputs.map(({ name, type, dims }) => [name, varied(sampleTensor(type, [4, ...dims.slice(1).map(Number)]))]),
    );
    const [expected, actual] = [await runModel(model, feeds), await runModel(small, feeds)];
    for (const { name: output } of outputs) {
      const wanted = numbers(expected[output]);
      const error = Math.hypot(...numbers(actual[output]).map((value, i) => value - (wanted[i] ?? 0)));
      expect(error / Math.hypot(...wanted)).toBeLessThan(0.05);
    }
    // The original is as it was.
    expect(encodeModel(model).length).toBe(before);
  });
});

test("products in integers are counted", () => {
  const { model } =
    templates.mlp?.make(templateOptions("mlp", { name: "m", fields: Array.from({ length: 8 }, (_, i) => `f${i}`) })) ??
    expect.unreachable();
  expect(quantize(model, "dynamic").products).toBe(2);
  expect(quantize(model, "weights").products).toBe(0);
});
