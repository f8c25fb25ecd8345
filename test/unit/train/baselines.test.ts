import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { baselinesOf } from "../../../src/train/baselines.ts";
import { driftColumn, driftLimit, driftOf, inputColumns } from "../../../src/train/drift.ts";
import { fitRidge, predictLinear } from "../../../src/train/ridge.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { sequenceData } from "../../../src/train/text-data.ts";
import { Trigram } from "../../../src/train/trigram.ts";
import { windowCard, windowData } from "../../support/window-data.ts";

/** Written by metrics-goldens.py. */
type Goldens = {
  ridge: { x: number[]; y: number[]; width: number; penalty: number; weights: number[]; intercept: number }[];
  drift: { old: number[]; new: number[]; bins: number; psi: number; ks: number }[];
};
const goldens = JSON.parse(readFileSync(join(import.meta.dirname, "metrics-goldens.json"), "utf8")) as Goldens;

test.each(goldens.ridge)("ridge regression, case $#", ({ x, y, width, penalty, weights, intercept }) => {
  const model = fitRidge(x, y, { width, outputs: 1, penalty });
  weights.forEach((weight, i) => {
    expect(model.weights[0]?.[i]).toBeCloseTo(weight, 9);
  });
  expect(model.intercepts[0]).toBeCloseTo(intercept, 9);
  expect(predictLinear(model, Array(width).fill(0))[0]).toBeCloseTo(intercept, 9);
});

test.each(goldens.drift)("drift, case $#", ({ old, new: fresh, bins, psi, ks }) => {
  const drift = driftOf(driftColumn("a", old, bins), fresh);
  expect(drift.psi).toBeCloseTo(psi, 9);
  expect(drift.ks).toBeCloseTo(ks, 9);
});

describe("drift", () => {
  it("is nothing where nothing has changed, and much where all has", () => {
    const column = driftColumn("a", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(driftOf(column, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1])).toMatchObject({ psi: 0, ks: 0, samples: 10 });
    const far = driftOf(column, [100, 101]);
    expect(far.ks).toBeCloseTo(0.9, 9);
    expect(far.psi).toBeGreaterThan(driftLimit);
  });

  it("of a column that takes one value sees when it takes another", () => {
    const column = driftColumn("a", Array(50).fill(3));
    expect(column.edges).toEqual([3]);
    expect(driftOf(column, [3, 3]).psi).toBe(0);
    expect(driftOf(column, [4, 4]).ks).toBe(1);
  });

  it("of the input is measured on each window's newest reading", () => {
    const card = windowCard(2, { target: { kind: "input", value: "window" } });
    const { data, push } = windowData(card);
    push("one", [1, 2, 3, 4]);
    const set = data.finish();
    expect(inputColumns(card, set, Int32Array.of(0, 2))).toEqual([{ name: "a", values: Float64Array.of(2, 4) }]);
  });
});

describe("baselines", () => {
  it("of a forecast: a line is foretold by a linear model, and missed by one step by persistence", () => {
    const card = windowCard(4);
    const { data, push } = windowData(card);
    push(
      "one",
      Array.from({ length: 200 }, (_, i) => i),
    );
    const set = data.finish();
    const { persistence, ridgeAutoregression } = baselinesOf(card, set, splitByTime(set));
    expect(persistence?.mae).toBeCloseTo(1, 6);
    expect(ridgeAutoregression?.mae).toBeLessThan(1e-3);
  });

  it("of a regression: the mean explains nothing, a line all", () => {
    const card = windowCard(1, { task: "regression", target: { kind: "field", field: "power" } });
    const { data, push } = windowData(card, { fields: ["a", "power"] });
    const random = seededRandom(1);
    push(
      "one",
      Array.from({ length: 200 }, () => {
        const a = random();
        return [a, 3 * a + 2];
      }),
    );
    const set = data.finish();
    const { mean, linear } = baselinesOf(card, set, splitByTime(set));
    expect(mean?.r2).toBeLessThan(0.01);
    expect(linear?.r2).toBeGreaterThan(0.9999);
  });

  it("of classes: the most frequent of the training slice", () => {
    const card = windowCard(1, {
      task: "classification",
      outputs: [{ name: "y", kind: "logits", dims: ["batch", 2] }],
      labels: ["calm", "storm"],
      loss: { kind: "crossEntropy", output: "y" },
      target: { kind: "label", field: "l" },
    });
    const { data, push } = windowData(card, { fields: ["a", "l"] });
    // Storm in every fourth.
    push(
      "one",
      Array.from({ length: 80 }, (_, i) => [i, Number(i % 4 === 0)]),
    );
    const set = data.finish();
    const { majority } = baselinesOf(
      card,
      set,
      splitByTime(set, { train: 0.5, validation: 0, calibration: 0, test: 0.5 }),
    );
    expect(majority).toEqual({ accuracy: 0.75, precision: 0, recall: 0, f1: 0 });
  });

  it("of an anomaly: steps and levels beyond four deviations", () => {
    const card = windowCard(2, { task: "anomaly", target: { kind: "input", value: "window" } });
    const { data, push } = windowData(card, { fields: ["a", "event"], eventField: "event" });
    const random = seededRandom(2);
    push(
      "one",
      // Rises slowly, so that the level leaves what it was; steps by ten at the event.
      Array.from({ length: 1_000 }, (_, i) => [
        i * 0.01 + random() * 0.1 + (i >= 900 && i < 905 ? 10 : 0),
        Number(i >= 900 && i < 905),
      ]),
    );
    const set = data.finish();
    const split = splitByTime(set, { train: 0.2, validation: 0, calibration: 0, test: 0.8 });
    const { aStepOver4Sigma: step, aLevelOver4Sigma: level } = baselinesOf(card, set, split);
    expect(step).toMatchObject({ eventsLabelled: 1, eventsFound: 1, falseEpisodes: 0 });
    expect(level?.falseAlarms).toBeGreaterThan(400);
  });

  it("of a language: a text that repeats is foretold by the two tokens before", () => {
    const card = windowCard(1, {
      task: "language",
      fields: [],
      window: undefined,
      inputs: [{ name: "codes", type: "int64", dims: ["batch", 5], from: "media" }],
      outputs: [{ name: "y", kind: "logits", dims: ["batch", 5, 4] }],
      loss: { kind: "crossEntropy", output: "y" },
      target: { kind: "label" },
    });
    const set = sequenceData(
      card,
      Int32Array.from({ length: 2_000 }, (_, i) => [0, 1, 2, 0, 1, 3][i % 6] ?? 0),
      "book",
    );
    const { trigram } = baselinesOf(card, set, splitByTime(set));
    // After "0 1" comes 2 or 3, by turns: one bit for every third token.
    expect(trigram?.perplexity).toBeCloseTo(2 ** (1 / 3), 1);
  });
});

it("the probabilities of a trigram model add up to 1, whatever came before", () => {
  const random = seededRandom(4);
  const text = Int32Array.from({ length: 300 }, () => Math.floor(random() * 5));
  const counted = [...text.keys()].slice(0, 150);
  const model = new Trigram(text, 6, counted);
  model.fitShares([150, 151, 152]);
  for (const place of [0, 1, 2, 160, 200]) {
    const sum = [0, 1, 2, 3, 4, 5].reduce((total, token) => total + model.probability(place, token), 0);
    expect(sum).toBeCloseTo(1, 12);
    // A token that was never seen has its share too.
    expect(model.probability(place, 5)).toBeGreaterThan(0);
  }
});
