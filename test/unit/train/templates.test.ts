import { describe, expect, test } from "vitest";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { cardSchema } from "../../../src/inference/card.ts";
import { contradictions } from "../../../src/inference/card-ports.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";
import { sampleTensor } from "../../../src/onnx/sample-tensor.ts";
import { templateOptions, templates } from "../../../src/train/templates/template-table.ts";

const choices = Object.keys(templates).flatMap((name) =>
  ["linear", "mlp", "cnn1d"].includes(name)
    ? [[name, undefined] as const, [name, ["a", "b", "c"]] as const]
    : [[name, undefined] as const],
);

describe("a new model", () => {
  test.each(choices)("%s with labels %o runs, and agrees with its card", async (name, labels) => {
    const options = templateOptions(name, { name: "mine", fields: ["x", "y"], ...(labels ? { labels } : {}) });
    const { model, card } = templates[name]?.make(options) ?? expect.unreachable();
    const parsed = cardSchema.parse(card);
    const session = await loadSession(encodeModel(model));
    expect(contradictions(parsed, session)).toEqual([]);
    const feeds = Object.fromEntries(
      parsed.inputs.map(({ name, type, dims }) => [name, sampleTensor(type, [3, ...dims.slice(1).map(Number)])]),
    );
    const results = await session.run(feeds);
    for (const { name, dims } of parsed.outputs) {
      expect(results[name]?.dims).toEqual([3, ...dims.slice(1)]);
      expect(Array.from(results[name]?.data as Float32Array).every(Number.isFinite)).toBe(true);
    }
    await session.release();
  });

  test("has the same weights for the same seed, others for another", () => {
    const make = (seed: number) =>
      encodeModel(templates.mlp?.make(templateOptions("mlp", { name: "m", seed })).model ?? expect.unreachable());
    expect(make(1)).toEqual(make(1));
    expect(make(1)).not.toEqual(make(2));
  });
});
