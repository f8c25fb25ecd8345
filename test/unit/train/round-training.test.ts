import { expect, it } from "vitest";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { decodeModel } from "../../../src/onnx/model-file.ts";
import { AveragedWeights } from "../../../src/train/averaged-weights.ts";
import { localChange, meanGradient, type RoundTraining } from "../../../src/train/round-training.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { StreamsData } from "../../../src/train/streams-data.ts";
import { Trainer } from "../../../src/train/trainer.ts";
import { seriesJob, seriesModel, seriesReadings } from "../../support/series.ts";

const never = new AbortController().signal;

function training(changes: Partial<RoundTraining["settings"]> = {}): RoundTraining {
  const { card, settings, data } = seriesJob();
  const streams = new StreamsData(card, data ?? [], 1);
  for (const slice of seriesReadings()) streams.frame(slice);
  const set = streams.finish();
  const split = splitByTime(set, { train: 0.85, validation: 0.15, calibration: 0, test: 0 });
  return {
    card,
    model: decodeModel(seriesModel(), "series"),
    data: set,
    split,
    settings: { ...settings, optimizer: { kind: "sgd" as const }, ...changes },
    threads: 1,
  };
}
const largest = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? 0))), 0);

it("a round's change is what the epochs did, the last one too, however little it helped", async () => {
  const given = training({ rate: 0.05, epochs: 3 });
  const learned = await localChange(given, { signal: never });
  const again = await localChange(given, { signal: never, maxSteps: 2 });
  expect(learned?.vector).toEqual(again?.vector);
  expect(learned?.loss).toBeGreaterThan(0);
  const moved = decodeModel(seriesModel(), "series");
  const shared = new AveragedWeights(moved, given.card);
  shared.unpack(
    shared.pack(moved).map((weight, i) => weight + (learned?.vector[i] ?? 0)),
    moved,
  );
  const next = await localChange({ ...given, model: moved }, { signal: never });
  expect(next?.loss ?? 1).toBeLessThan(learned?.loss ?? 0);
});

it("FedProx holds the change near the base", async () => {
  const free = await localChange(training({ rate: 0.05, epochs: 3 }), { signal: never });
  const held = await localChange(training({ rate: 0.05, epochs: 3, anchor: 10 }), { signal: never });
  const norm = (vector: Float32Array) => Math.hypot(...vector);
  expect(norm(held?.vector ?? new Float32Array())).toBeLessThan(0.5 * norm(free?.vector ?? new Float32Array()));
});

it("the mean gradient over batches is that over all examples at once", async () => {
  const given = training({ rate: 0.1, batch: 7 });
  const learned = await meanGradient(given, { signal: never });
  const whole = await Trainer.open({
    ...given,
    settings: { ...given.settings, rate: 0.1, fullBatch: true, epochs: 1 },
    load: (bytes) => loadSession(bytes),
  });
  const before = whole.state.weights.slice();
  await whole.run({ signal: never });
  const step = whole.state.weights.map((weight, i) => ((before[i] ?? 0) - weight) / 0.1);
  await whole.close();
  expect(largest(learned?.vector ?? new Float32Array(), step)).toBeLessThan(1e-5);
  expect(Math.hypot(...step)).toBeGreaterThan(1e-2);
});

it("a round that is broken off gives nothing", async () => {
  expect(await localChange(training(), { signal: AbortSignal.abort() })).toBeNull();
});
