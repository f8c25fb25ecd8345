import { describe, expect, test } from "vitest";
import { FlatParameters } from "../../../src/autodiff/flat-parameters.ts";
import { tensor } from "../../../src/base/tensor.ts";
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

  test.each(["rnn", "gru", "lstm"])("%s foretells one field of its window where one is named", async (name) => {
    const given = { name: "mine", fields: ["x", "y"], target: "y", window: 8, readingsPerStep: 4 };
    const { model, card } = templates[name]?.make(templateOptions(name, given)) ?? expect.unreachable();
    expect(card.target).toEqual({ kind: "next", horizon: 1, fields: ["y"] });
    const parameters = FlatParameters.of(model, ["output.weight"]);
    parameters.unpack(new Float32Array(parameters.length), model);
    const session = await loadSession(encodeModel(model));
    const window = Float32Array.from({ length: 16 }, (_, i) => i);
    const { forecast } = await session.run({ window: tensor("float32", [1, 8, 2], window) });
    await session.release();
    // With nothing learnt it is the newest y.
    expect(forecast).toMatchObject({ dims: [1, 1], data: Float32Array.of(15) });
  });

  test("that foretells what is not in its window, or whose steps do not fill it, is refused", () => {
    const make = (given: object) => templates.gru?.make(templateOptions("gru", { name: "m", fields: ["x"], ...given }));
    expect(() => make({ target: "y" })).toThrow(/field of its window: x, not y/);
    expect(() => make({ window: 10, readingsPerStep: 4 })).toThrow(/10 readings are no multiple of 4/);
  });
});
