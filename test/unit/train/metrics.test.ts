import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { episodes, scoreAlarms, totalAlarmScore } from "../../../src/train/metrics-anomaly.ts";
import { argMax, ConfusionMatrix, crossEntropy, rocAuc } from "../../../src/train/metrics-classification.ts";
import { RegressionMetrics } from "../../../src/train/metrics-regression.ts";

/** Written by metrics-goldens.py. */
type Goldens = {
  regression: {
    predicted: number[];
    expected: number[];
    width: number;
    mse: number;
    rmse: number;
    mae: number;
    r2: number;
  }[];
  classification: {
    expected: number[];
    given: number[];
    classes: number;
    accuracy: number;
    perClass: Record<string, number>[];
    macro: Record<string, number>;
  }[];
  auc: { scores: number[]; positive: number[]; auc: number }[];
  perplexity: { logits: number[][]; labels: number[]; perplexity: number }[];
};
const goldens = JSON.parse(readFileSync(join(import.meta.dirname, "metrics-goldens.json"), "utf8")) as Goldens;

const close = (actual: object, expected: object) => {
  for (const [name, value] of Object.entries(expected))
    expect((actual as Record<string, number>)[name], name).toBeCloseTo(value, 10);
};

describe("regression", () => {
  test.each(goldens.regression)("case $#", ({ predicted, expected, width, ...wanted }) => {
    const metrics = new RegressionMetrics(width);
    // In two parts, as batches come.
    const cut = 3 * width;
    metrics.add(predicted.slice(0, cut), expected.slice(0, cut));
    metrics.add(predicted.slice(cut), expected.slice(cut));
    close(metrics.score, wanted);
  });

  it("worked by hand", () => {
    const metrics = new RegressionMetrics(1);
    metrics.add([1, 2, 5], [1, 3, 3]);
    // Errors 0, -1, 2; mean of what was expected 7/3, its squared deviations 16/9 + 4/9 + 4/9 = 8/3.
    close(metrics.score, { mse: 5 / 3, mae: 1, rmse: Math.sqrt(5 / 3), r2: 1 - 5 / (8 / 3) });
  });

  it("what never varies is explained only when it is met", () => {
    const met = new RegressionMetrics(1);
    met.add([2, 2], [2, 2]);
    const missed = new RegressionMetrics(1);
    missed.add([2, 3], [2, 2]);
    expect([met.score.r2, missed.score.r2]).toEqual([1, 0]);
  });
});

describe("classification", () => {
  test.each(goldens.classification)("case $#", ({ expected, given, classes, accuracy, perClass, macro }) => {
    const matrix = new ConfusionMatrix(classes);
    expected.forEach((label, i) => {
      matrix.add(label, given[i] ?? -1);
    });
    expect(matrix.accuracy).toBeCloseTo(accuracy, 12);
    perClass.forEach((wanted, label) => {
      close(matrix.of(label), wanted);
    });
    close(matrix.macro, macro);
  });

  it("an answer that is no class is wrong, in no column", () => {
    const matrix = new ConfusionMatrix(2);
    matrix.add(0, 0);
    matrix.add(1, -1);
    expect(matrix.accuracy).toBe(0.5);
    expect(matrix.rows).toEqual([
      [1, 0],
      [0, 0],
    ]);
    expect(matrix.of(1)).toEqual({ precision: 0, recall: 0, f1: 0, support: 1 });
  });

  test.each(goldens.auc)("area under the curve, case $#", ({ scores, positive, auc }) => {
    expect(rocAuc(scores, positive)).toBeCloseTo(auc, 12);
  });

  it("the area is half where scores tell nothing, and unknown with one class", () => {
    expect(rocAuc([1, 1, 1, 1], [0, 1, 0, 1])).toBe(0.5);
    expect(rocAuc([1, 2], [1, 1])).toBeNaN();
  });

  test.each(goldens.perplexity)("perplexity, case $#", ({ logits, labels, perplexity }) => {
    const losses = logits.map((row, i) => crossEntropy(row, labels[i] ?? 0));
    expect(Math.exp(losses.reduce((a, b) => a + b, 0) / losses.length)).toBeCloseTo(perplexity, 9);
  });

  it("cross entropy does not overflow, and the largest wins", () => {
    expect(crossEntropy([1_000, 0], 0)).toBe(0);
    expect(crossEntropy([1_000, 0], 1)).toBe(1_000);
    expect(argMax([Number.NaN, 1, 3, 3])).toBe(2);
    expect(argMax([Number.NaN])).toBe(-1);
  });
});

describe("alarms held against events", () => {
  const flags = (text: string) => [...text].map((each) => each === "x");

  it("worked by hand", () => {
    const labels = flags("....xxx.......xx....");
    const alarms = flags("x....xxx..........x.");
    // Found with a delay of 1; the second is missed; two episodes belong to no event. With a tail of 1.
    expect(scoreAlarms(labels, alarms, 1)).toEqual({
      events: { labelled: 2, found: 1 },
      delays: [1],
      falseEpisodes: 2,
      falseAlarms: 2,
      normalReadings: 15,
    });
  });

  it("alarms close to each other are one episode, and sources add up", () => {
    expect(episodes(flags("x.x..x"), 2)).toEqual([
      { first: 0, last: 2 },
      { first: 5, last: 5 },
    ]);
    const one = scoreAlarms(flags("xx.."), flags("x..x"), 0);
    expect(totalAlarmScore([one, one])).toEqual({
      events: { labelled: 2, found: 2 },
      delays: [0, 0],
      falseEpisodes: 2,
      falseAlarms: 2,
      normalReadings: 4,
    });
  });
});
