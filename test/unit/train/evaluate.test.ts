import { describe, expect, it, test } from "vitest";
import { batchLoss } from "../../../src/autodiff/losses.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { tensor } from "../../../src/base/tensor.ts";
import { readMotes } from "../../../src/commands/demo/mote-data.ts";
import { openBundle } from "../../../src/inference/bundle.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { readModel } from "../../../src/onnx/model-file.ts";
import { tensorOf } from "../../../src/onnx/tensor-proto.ts";
import { calibrate } from "../../../src/train/calibrate.ts";
import { evaluate } from "../../../src/train/evaluate.ts";
import { exampleLosses } from "../../../src/train/example-loss.ts";
import { fitStatistics } from "../../../src/train/fit.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";
import { windowCard, windowData } from "../../support/window-data.ts";

/** Scales each field of a window, and gives as score how large the newest reading is then. */
function scaledModel(fields: number, size = 2) {
  const g = new GraphBuilder();
  const window = g.input("window", "float32", ["batch", size, fields]);
  const mean = g.initializer("mean", floats([fields], Array(fields).fill(0)));
  const std = g.initializer("std", floats([fields], Array(fields).fill(1)));
  const scaled = g.div(g.sub(window, mean), std, { name: "scaled" });
  const newest = g.slice(g.abs(scaled), { starts: [size - 1], ends: [size], axes: [1] });
  const raw = g.mean(newest, [1, 2], { name: "raw" });
  g.output("score", g.div(raw, g.initializer("threshold", floats([], [1]))));
  return g.model;
}

const scaledCard = (size = 2) =>
  windowCard(size, {
    task: "anomaly",
    fields: [{ name: "a" }, { name: "b" }],
    inputs: [{ name: "window", dims: ["batch", size, 2] }],
    outputs: [{ name: "score", kind: "score", dims: ["batch"] }],
    verdict: { output: "score", above: 1 },
    loss: undefined,
    target: undefined,
    fit: [
      { tensor: "mean", statistic: "mean", of: "window" },
      { tensor: "std", statistic: "std", of: "window" },
    ],
    calibration: { method: "conformal", alpha: 0.2, slice: "later", of: "raw", tensor: "threshold" },
  });

const stored = (model: ReturnType<typeof scaledModel>, name: string): number[] => {
  const proto = model.graph?.initializer.find((each) => each.name === name);
  return proto ? numbers(tensorOf(proto)) : [];
};

describe("statistics of the training slice", () => {
  it("are set into the model, and no later reading has a part in them", async () => {
    const card = scaledCard();
    const { data, push } = windowData(card, { fields: ["a", "b"] });
    push(
      "one",
      Array.from({ length: 101 }, (_, i) => [i < 60 ? i % 2 : 1_000, 5]),
    );
    const set = data.finish();
    const { train } = splitByTime(set, { train: 0.5, validation: 0, calibration: 0, test: 0.4 });
    const model = scaledModel(2);
    await fitStatistics(model, card, set, train, { batch: 7 });
    expect(stored(model, "mean")).toEqual([0.5, 5]);
    // The second field never varies.
    expect(stored(model, "std")).toEqual([0.5, 1]);
  });

  it("of a tensor that does not fit the value are refused", async () => {
    const card = { ...scaledCard(), fit: [{ tensor: "mean", statistic: "mean" as const, of: "score" }] };
    const { data, push } = windowData(card, { fields: ["a", "b"] });
    push("one", [
      [1, 2],
      [2, 3],
      [3, 4],
    ]);
    const set = data.finish();
    await expect(fitStatistics(scaledModel(2), card, set, set.first)).rejects.toThrow(/no statistic of score/);
    const foreign = { ...card, fit: [{ tensor: "mean", statistic: "mean" as const, of: "nothing" }] };
    await expect(fitStatistics(scaledModel(2), foreign, set, set.first)).rejects.toThrow(/no value "nothing"/);
  });
});

describe("a threshold", () => {
  const build = (readings: number) => {
    const card = scaledCard();
    const { data, push } = windowData(card, { fields: ["a", "b", "event"], eventField: "event" });
    const random = seededRandom(3);
    push(
      "one",
      Array.from({ length: readings }, (_, i) => {
        const isEvent = i % 50 === 49;
        return isEvent ? [1e6, 1e6, 1] : [random() * 2, random() * 2, 0];
      }),
    );
    return { card, set: data.finish() };
  };

  it("comes from windows that share no reading and hold no event", async () => {
    const { card, set } = build(300);
    const model = scaledModel(2);
    const all = Int32Array.from(set.first, (_, i) => i);
    const outcome = await calibrate(model, card, set, all);
    expect(outcome).toMatchObject({ outcome: "calibrated", trimmed: 0 });
    if (outcome?.outcome !== "calibrated") return;
    // 150 windows without overlap, less those that touch one of six events.
    expect(outcome.samples).toBeGreaterThan(140);
    expect(outcome.samples).toBeLessThan(150);
    expect(outcome.threshold).toBeGreaterThan(1);
    expect(outcome.threshold).toBeLessThan(2);
    expect(stored(model, "threshold")[0]).toBeCloseTo(outcome.threshold, 6);
  });

  it("is not told from too few: the old version stays", async () => {
    const { card, set } = build(90);
    const model = scaledModel(2);
    const outcome = await calibrate(
      model,
      card,
      set,
      Int32Array.from(set.first, (_, i) => i),
    );
    expect(outcome).toMatchObject({ outcome: "kept", needed: 50, reason: expect.stringMatching(/too few/) });
    expect(stored(model, "threshold")).toEqual([1]);
  });
});

describe("evaluation", () => {
  it("of a forecast, worked by hand, whatever the batch", async () => {
    const g = new GraphBuilder();
    const window = g.input("window", "float32", ["batch", 2, 1]);
    g.output("y", g.squeeze(g.slice(window, { starts: [1], ends: [2], axes: [1] }), [1]));
    const card = windowCard(2);
    const { data, push } = windowData(card);
    push("one", [0, 1, 3, 3, 7]);
    const set = data.finish();
    const all = Int32Array.from(set.first, (_, i) => i);
    for (const batch of [1, 2, 256]) {
      const { metrics, examples } = await evaluate(g.model, card, set, all, { batch });
      expect(examples).toBe(3);
      // The last value stands for the next: errors 2, 0, 4; expected 3, 3, 7 with squared deviations 32/3.
      expect(metrics.mse).toBeCloseTo(20 / 3, 6);
      expect(metrics.loss).toBeCloseTo(20 / 3, 6);
      expect(metrics.mae).toBeCloseTo(2, 6);
      expect(metrics.r2).toBeCloseTo(1 - 20 / (32 / 3), 6);
    }
  });

  it("of a model with a fixed batch leaves out what filled it up", async () => {
    const g = new GraphBuilder();
    const window = g.input("window", "float32", [2, 1, 1]);
    g.output("y", g.reshape(window, [2, 1]));
    const card = windowCard(1);
    const { data, push } = windowData(card);
    push("one", [0, 1, 3, 3]);
    const set = data.finish();
    const { metrics, examples } = await evaluate(g.model, card, set, Int32Array.of(0, 1, 2));
    expect(examples).toBe(3);
    expect(metrics.mse).toBeCloseTo(5 / 3, 6);
  });

  it("of classes gives a row for each", async () => {
    const g = new GraphBuilder();
    const window = g.input("window", "float32", ["batch", 1, 2]);
    g.output("y", g.flatten(window));
    const card = windowCard(1, {
      task: "classification",
      fields: [{ name: "a" }, { name: "b" }],
      inputs: [{ name: "window", dims: ["batch", 1, 2] }],
      outputs: [{ name: "y", kind: "logits", dims: ["batch", 2] }],
      labels: ["calm", "storm"],
      loss: { kind: "crossEntropy", output: "y" },
      target: { kind: "label", field: "l" },
    });
    const { data, push } = windowData(card, { fields: ["a", "b", "l"] });
    push("one", [
      [1, 0, 0],
      [0, 1, 0],
      [0, 1, 1],
      [0, 2, 1],
    ]);
    const set = data.finish();
    const result = await evaluate(g.model, card, set, Int32Array.of(0, 1, 2, 3));
    expect(result.confusion).toEqual([
      [1, 1],
      [0, 2],
    ]);
    expect(result.metrics).toMatchObject({ accuracy: 0.75, precision: 2 / 3, recall: 1, f1: 0.8 });
    // Scores -1, 1 (calm), 1, 2 (storm): three and a half of four pairs are in order.
    expect(result.metrics.rocAuc).toBe(3.5 / 4);
    expect(result.perClass?.map(({ label }) => label)).toEqual(["calm", "storm"]);
  });

  it("of the bundle that ships finds what its card says, over readings that came as a gateway's do", async () => {
    const bundle = await openBundle("models/mote-anomaly");
    const { card } = bundle;
    const { data } = windowData(card, { fields: ["humidity", "temperature", "event"], eventField: "event" });
    for (const [mote, readings] of readMotes())
      for (const { ts, humidity, temperature, isLabelled } of readings)
        data.reading(`${mote}`, ts, Float64Array.of(humidity, temperature, isLabelled ? 1 : 0));
    const set = data.finish();
    const all = Int32Array.from(set.first, (_, i) => i);
    const { metrics } = await evaluate(await readModel(bundle.modelFile), card, set, all);
    const { eventsLabelled, eventsFound, falseEpisodes, worstDelayReadings } = card.metrics;
    expect(metrics).toMatchObject({ eventsLabelled, eventsFound, falseEpisodes, worstDelayReadings });
  });
});

describe("the loss of each example", () => {
  const random = seededRandom(5);
  const values = (n: number, scale = 3) => Array.from({ length: n }, () => (random() - 0.5) * scale);
  const labels = tensor(
    "int64",
    [6, 4],
    BigInt64Array.from({ length: 24 }, (_, i) => BigInt((i * 7) % 5)),
  );
  test.each([
    { kind: "mse" as const },
    { kind: "mae" as const },
    { kind: "huber" as const, delta: 0.7 },
    { kind: "binaryCrossEntropy" as const },
    { kind: "crossEntropy" as const },
    { kind: "crossEntropy" as const, ignoreLabel: 2, classWeights: [1, 2, 3, 0.5, 1] },
  ])("is that of the graph that trains: $kind", async (loss) => {
    const isClass = loss.kind === "crossEntropy";
    const output = floats(isClass ? [6, 4, 5] : [6, 4], values(isClass ? 120 : 24));
    const target = isClass ? labels : floats([6, 4], values(24, 1).map(Math.abs));
    const scale = floats([4], [1, 2, 0.5, 3]);
    const g = new GraphBuilder();
    const o = g.know(g.input("o", "float32", output.dims), { type: "float32", shape: output.dims });
    const t = g.know(g.input("t", target.type, target.dims), { type: target.type, shape: target.dims });
    const w = g.input("w", "float32", [6]);
    const unit = g.constant(scale);
    const by = (each: typeof o) => (isClass ? each : g.know(g.div(each, unit), { shape: target.dims }));
    const { perSample } = batchLoss(g, by(o), by(t), w, loss);
    g.output("losses", perSample);
    const result = await runModel(g.model, { o: output, t: target, w: floats([6], Array(6).fill(1)) });
    const own = exampleLosses({ output: "o", ...loss }, output, target, isClass ? undefined : scale);
    numbers(result.losses).forEach((each, i) => {
      expect(own[i]).toBeCloseTo(each, 5);
    });
  });
});
