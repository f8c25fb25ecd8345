import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { TidegateError } from "../../../src/base/errors.ts";
import { contradictions } from "../../../src/inference/card-ports.ts";
import { type CardFault, parseCard } from "../../../src/inference/parse-card.ts";

const good = {
  format: 1,
  name: "climate",
  version: 3,
  task: "anomaly",
  fields: [{ name: "humidity", unit: "%" }, { name: "temperature" }],
  period: "5s",
  window: { size: 16, maxGap: "1m" },
  inputs: [{ name: "window", dims: ["batch", 16, 2] }],
  outputs: [{ name: "score", kind: "score", dims: ["batch"] }],
  verdict: { output: "score", above: 1 },
};

/** The faults of the good card with some keys changed; those that are undefined are left out. */
function faultsOf(changed: Record<string, unknown>): readonly CardFault[] {
  try {
    parseCard(stringify({ ...good, ...changed }), "bundle/card.yaml");
  } catch (thrown) {
    const { code, facts } = thrown as TidegateError;
    expect([code, facts.file]).toEqual(["CARD_INVALID", "bundle/card.yaml"]);
    return facts.faults as readonly CardFault[];
  }
  return [];
}

const paths = (changed: Record<string, unknown>): string[] => faultsOf(changed).map(({ path }) => path);

describe("a card", () => {
  test("is read with its defaults, durations in ms", () => {
    expect(parseCard(stringify(good))).toMatchObject({
      name: "climate",
      parent: null,
      period: 5_000,
      window: { size: 16, hop: 1, maxGap: 60_000 },
      inputs: [{ type: "float32", from: "window" }],
      outputs: [{ type: "float32", tolerance: 1e-4 }],
      labels: [],
      state: [],
      golden: "golden.ndjson",
    });
  });

  test("has all its faults told at once, each at its place", () => {
    const faults = faultsOf({ name: "a b", version: 0, window: { size: 16, maxGap: "soon" }, task: "guess" });
    expect(faults.map(({ path }) => path)).toEqual(["name", "version", "task", "window.maxGap"]);
  });

  test("has an unknown key answered with the nearest known one, at any depth", () => {
    expect(faultsOf({ windows: {} })).toEqual([
      { path: "windows", message: expect.stringContaining("did you mean window?"), nearest: "window" },
    ]);
    expect(faultsOf({ outputs: [{ name: "score", kind: "score", dims: ["batch"], tolerence: 1 }] })).toMatchObject([
      { path: "outputs[0].tolerence", nearest: "tolerance" },
    ]);
  });

  test.each([
    ["a verdict on no output", { verdict: { output: "skore", above: 1 } }, "verdict.output"],
    ["a verdict by a label that is not one", { verdict: { output: "score", labels: ["x"] } }, "verdict.labels[0]"],
    ["a field that is there twice", { fields: [{ name: "a" }, { name: "a" }] }, "fields[1].name"],
    ["a window input without a window", { window: undefined }, "window"],
    ["a window that its input does not hold", { window: { size: 15 } }, "inputs[0].dims"],
    ["windows of whole numbers", { inputs: [{ ...good.inputs[0], type: "int64" }] }, "inputs[0].type"],
    ["two window inputs", { inputs: [...good.inputs, { ...good.inputs[0], name: "b" }] }, "inputs"],
    [
      "a constant without a value",
      { inputs: [...good.inputs, { name: "rate", dims: [], from: "constant" }] },
      "inputs[1].value",
    ],
    ["state that no input takes", { state: [{ input: "h", output: "score", reset: "gap" }] }, "state[0].input"],
    ["no inputs", { inputs: [] }, "inputs"],
    ["an alarm after no window", { alarm: { onAfter: 0, offAfter: 1 } }, "alarm.onAfter"],
  ])("is refused for %s", (_, changed, path) => {
    expect(paths(changed)).toContain(path);
  });

  test("that is no YAML, or of aliases that unfold without end, is refused as such", () => {
    const unfolding = Array.from({ length: 20 }, (_, i) => `x${i + 1}: &x${i + 1} [*x${i}, *x${i}, *x${i}, *x${i}]`);
    for (const text of ["a: [", "a: *b", ["x0: &x0 [1, 1, 1]", ...unfolding].join("\n"), ""])
      expect(() => parseCard(text)).toThrow(expect.objectContaining({ code: "CARD_INVALID" }));
  });
});

describe("card and model", () => {
  const card = {
    inputs: [{ name: "x", type: "float32", dims: ["batch", 16, 2], from: "window" }],
    outputs: [{ name: "y", type: "float32", dims: ["batch"] }],
  } as const;
  const inputs = [{ name: "x", type: "float32", shape: ["n", 16, 2] }] as const;
  const outputs = [{ name: "y", type: "float32", shape: ["n"] }] as const;

  test("agree by name, type and size; what the model leaves open agrees with everything", () => {
    expect(contradictions(card, { inputs, outputs: [...outputs, { name: "extra" }] })).toEqual([]);
    const open = { inputs: [{ name: "x", shape: ["n", "time", -1] }], outputs: [{ name: "y", shape: [] }] };
    expect(contradictions(card, open)).toEqual([]);
    expect(contradictions(card, { inputs: [{ ...inputs[0], shape: [8, 16, 2] }], outputs })).toEqual([]);
  });

  test.each([
    ["another name", { inputs: [{ ...inputs[0], name: "z" }], outputs }, [/no input x \(it has z\)/, /needs input z/]],
    ["another type", { inputs: [{ ...inputs[0], type: "float64" as const }], outputs }, [/float32, the model float64/]],
    ["another size", { inputs: [{ ...inputs[0], shape: ["n", 8, 2] }], outputs }, [/\[batch, 16, 2\].*\[n, 8, 2\]/]],
    ["another rank", { inputs, outputs: [{ ...outputs[0], shape: ["n", 1] }] }, [/output y.*\[n, 1\]/]],
  ])("contradict each other by %s", (_, model, sentences) => {
    const faults = contradictions(card, model);
    expect(faults).toHaveLength(sentences.length);
    for (const [i, sentence] of sentences.entries()) expect(faults[i]).toMatch(sentence);
  });
});
