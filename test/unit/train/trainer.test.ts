import { expect, onTestFinished, test } from "vitest";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { Trainer, type TrainerInputs, type TrainingHooks, type TrainingProgress } from "../../../src/train/trainer.ts";
import type { TrainerState } from "../../../src/train/trainer-state.ts";
import { floats } from "../../support/run-model.ts";
import { dataSet, smallCard, smallModel, waveData, waveTraining } from "../../support/training.ts";

async function open(inputs: TrainerInputs): Promise<Trainer> {
  const trainer = await Trainer.open(inputs);
  onTestFinished(() => trainer.close());
  return trainer;
}

const quiet = { signal: new AbortController().signal };
const settings = (differing: object) => ({ ...smallCard().train, ...differing }) as TrainerInputs["settings"];

async function trained(inputs: TrainerInputs, hooks: Partial<TrainingHooks> = {}) {
  return (await open(inputs)).run({ ...quiet, ...hooks });
}

/** Stops after so many runs; gives what was saved, as a checkpoint would hold it. */
async function interrupted(inputs: TrainerInputs, runs: number, hooks: Partial<TrainingHooks> = {}) {
  const stop = new AbortController();
  let saved: TrainerState | undefined;
  let left = runs;
  const outcome = await trained(inputs, {
    ...hooks,
    signal: stop.signal,
    onProgress: () => {
      left--;
      if (left === 0) stop.abort();
    },
    save: async (state) => {
      saved = structuredClone(state);
    },
  });
  expect(outcome.ended).toBe("stopped");
  if (!saved) throw new Error("nothing was saved");
  return saved;
}

test("a training gets better from epoch to epoch and keeps its best weights", async () => {
  const data = waveData();
  const seen: TrainingProgress[] = [];
  const { ended, history, best, weights } = await trained(waveTraining({ data, settings: settings({ epochs: 60 }) }), {
    onProgress: (progress) => seen.push(progress),
  });
  expect(ended).toBe("epochs");
  expect(history).toHaveLength(60);
  expect(history.at(-1)?.validationLoss).toBeLessThan(0.3 * (history[0]?.validationLoss ?? 0));
  expect(best?.loss).toBe(Math.min(...history.map(({ validationLoss }) => validationLoss ?? 1)));
  expect(weights).toHaveLength(8 + 8 + 8 + 1);
  expect(seen.filter((each) => each.ended)).toHaveLength(60);
  expect(seen.at(-1)).toMatchObject({ epoch: 60, epochs: 60, step: 10, steps: 10 });
  expect(seen.at(-1)?.examplesPerSecond).toBeGreaterThan(0);
});

test.each([
  ["sgd", { optimizer: { kind: "sgd", momentum: 0.9 } }],
  ["adam with a cosine", { schedule: { kind: "cosine", least: 1e-4 } }],
  ["adamw on a plateau", { optimizer: { kind: "adamw" }, schedule: { kind: "plateau", patience: 1, factor: 0.5 } }],
])("%s: how many steps a run takes, and an interruption, change no bit", async (_name, differing) => {
  const inputs = waveTraining({
    data: waveData(),
    model: smallModel({ dropout: 0.25 }),
    settings: settings(differing),
  });
  const { weights } = await trained(inputs);
  expect((await trained(inputs, { maxSteps: 1 })).weights).toEqual(weights);
  expect((await trained(inputs, { maxSteps: 3 })).weights).toEqual(weights);
  const state = await interrupted(inputs, 12, { maxSteps: 1 });
  expect(state).toMatchObject({ epoch: 1, step: 2 });
  const second = await open(inputs);
  second.restore(state);
  expect((await second.run(quiet)).weights).toEqual(weights);
});

test("another seed gives other weights", async () => {
  const data = waveData();
  const { weights } = await trained(waveTraining({ data }));
  expect((await trained(waveTraining({ data, settings: settings({ seed: 6 }) }))).weights).not.toEqual(weights);
});

test("gradient descent takes one step an epoch over all examples", async () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", 1]);
  g.output("y", g.gemm(x, g.initializer("w", floats([1, 1], [0])), g.initializer("b", floats([1], [0]))));
  const xs = Array.from({ length: 100 }, (_, index) => index / 25 - 2);
  const card = smallCard({
    trainable: { w: "averaged", b: "averaged" },
    train: { optimizer: { kind: "sgd" }, rate: 0.3, fullBatch: true, epochs: 200 },
  });
  const steps: number[] = [];
  const inputs = waveTraining({
    card,
    model: g.model,
    data: dataSet(
      xs,
      xs.map((value) => 3 * value + 2),
    ),
  });
  const { weights } = await trained(inputs, { onProgress: (progress) => steps.push(progress.steps) });
  expect(new Set(steps)).toEqual(new Set([1]));
  expect(weights[0]).toBeCloseTo(3, 4);
  expect(weights[1]).toBeCloseTo(2, 4);
});

test("a loss that is not finite ends the training; the last good weights stay", async () => {
  const data = waveData();
  const good = await trained(waveTraining({ data, settings: settings({ epochs: 2 }) }));
  let runs = 0;
  const trainer = await open(waveTraining({ data }));
  const outcome = await trainer.run({
    ...quiet,
    onProgress: ({ ended }) => {
      if (ended?.epoch === 2) trainer.state.weights = trainer.state.weights.map((value) => value * 1e38);
      runs++;
    },
  });
  expect(outcome.ended).toBe("diverged");
  expect(outcome.fault?.code).toBe("TRAINING_DIVERGED");
  expect(outcome.fault?.message).toMatch(/epoch 3 at step 1: the loss is (Infinity|NaN)/);
  expect(outcome.weights).toEqual(good.weights);
  expect(runs).toBeGreaterThan(1);
});

test("data with a number that is none ends it before the first epoch: the weights are the model's own", async () => {
  const data = waveData(40);
  const x = data.data.x_rows;
  if (x?.type === "float32") x.data[7] = Number.NaN;
  const trainer = await open(waveTraining({ data }));
  const before = trainer.state.weights.slice();
  const outcome = await trainer.run(quiet);
  expect(outcome).toMatchObject({ ended: "diverged", best: null, history: [] });
  expect(outcome.weights).toEqual(before);
});

test("early stopping ends it when the validation loss gets no better", async () => {
  const { ended, history, best } = await trained(
    waveTraining({ data: waveData(60), settings: settings({ epochs: 500, patience: 3, rate: 0.3 }) }),
  );
  expect(ended).toBe("patience");
  expect(history.length).toBe((best?.epoch ?? 0) + 3);
});

test("frozen tensors stay, and an anchor holds the others to where they were", async () => {
  const data = waveData();
  const card = smallCard({ trainable: { w1: "frozen", b1: "frozen", w2: "averaged", b2: "averaged" } });
  const distance = async (anchor: number) => {
    const inputs = waveTraining({ card, data, settings: settings({ anchor }) });
    const trainer = await open(inputs);
    expect(trainer.graph.parameters.slices.map(({ name }) => name)).toEqual(["w2", "b2"]);
    const base = trainer.state.weights.slice();
    const { weights } = await trainer.run(quiet);
    return Math.hypot(...weights.map((value, index) => value - (base[index] ?? 0)));
  };
  expect(await distance(10)).toBeLessThan(0.5 * (await distance(0)));
});

test.each([
  [{ loss: undefined }, /names no loss/],
  [{ target: undefined }, /names no target|no target/],
  [{ trainable: {} }, /nothing is trainable/],
  [{ trainable: { w9: "averaged" } }, /stores no tensor w9/],
  [{ trainable: { w1: "frozen" } }, /nothing is trainable/],
])("a card with %j is refused with what to do", async (differing, message) => {
  const { target: _target, ...data } = waveData(20);
  const inputs = waveTraining({ card: smallCard(differing), data: "target" in differing ? data : waveData(20) });
  const opened = Trainer.open({ ...inputs, settings: settings({}) });
  await expect(opened).rejects.toMatchObject({ code: "CARD_UNTRAINABLE", message: expect.stringMatching(message) });
  await expect(opened).rejects.toHaveProperty("facts.remedy", expect.stringMatching(/card|trainable/));
});

test("a loss on a value that the model has not is refused by its name", async () => {
  const card = smallCard({ loss: { kind: "mse", output: "z" } });
  await expect(Trainer.open(waveTraining({ card }))).rejects.toMatchObject({
    code: "MODEL_UNTRAINABLE",
    message: expect.stringContaining('"z"'),
  });
});
