import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { openBundle } from "../../src/inference/bundle.ts";
import { verifyBundle } from "../../src/inference/golden.ts";
import { readModel } from "../../src/onnx/model-file.ts";
import { trainedTensors } from "../../src/train/training-plan.ts";
import { startHost } from "../support/started-host.ts";

const root = resolve(import.meta.dirname, "../..");
const models = join(root, "models");

describe.each(readdirSync(models))("the model %s", (name) => {
  test("gives what its golden samples ask for, from raw payload to verdict", async () => {
    const { samples, faults } = await verifyBundle(await openBundle(join(models, name)), await startHost());
    expect(faults).toEqual([]);
    expect(samples).toBeGreaterThan(0);
  });

  test("says in its card how good it is beside the obvious, what it was made from, by which script, and how to go on", async () => {
    const { card, modelFile } = await openBundle(join(models, name));
    expect(card.name).toBe(name);
    expect(Object.keys(card.metrics)).not.toEqual([]);
    const baselines = Object.values(card.baselines);
    expect(baselines).not.toEqual([]);
    // Model and baselines are measured alike: at least one number of each is the other's, too.
    for (const baseline of baselines)
      expect(Object.keys(baseline).some((metric) => Object.hasOwn(card.metrics, metric))).toBe(true);
    expect(card.data?.licence).toBeTruthy();
    expect(card.licence).toBeTruthy();
    expect(existsSync(join(root, String(card.training.script)))).toBe(true);
    expect(card.train).toBeDefined();
    expect(trainedTensors(card, await readModel(modelFile))).not.toEqual([]);
    expect(statSync(modelFile).size).toBeLessThan(4e6);
  });
});

test("every model is in the guide", () => {
  const guide = readFileSync(join(root, "docs/guides/models.md"), "utf8");
  const rows = [...guide.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] ?? "");
  expect(rows.sort()).toEqual(readdirSync(models).sort());
});

test("house prices are told with a mean R² of 0.85 or more over the folds, and better than by a linear model", async () => {
  const { metrics, baselines } = (await openBundle(join(models, "house-prices"))).card;
  expect(metrics.meanR2).toBeGreaterThanOrEqual(0.85);
  expect(metrics.leastR2).toBeGreaterThan(baselines.linear?.meanR2 ?? Number.NaN);
});

test("forecasts of the motes' temperature are a tenth better than the best baseline", async () => {
  const forecasts = readdirSync(models).filter((name) => name.startsWith("mote-forecast"));
  expect(forecasts).toHaveLength(3);
  for (const name of forecasts) {
    const { card } = await openBundle(join(models, name));
    const best = Math.min(...Object.values(card.baselines).map(({ rmse }) => rmse ?? Number.NaN));
    expect(card.metrics.rmse).toBeLessThan(0.9 * best);
  }
});
