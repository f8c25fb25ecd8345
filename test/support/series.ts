import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Frame, Source } from "../../src/base/frame.ts";
import { seededRandom } from "../../src/base/random.ts";
import { tensor } from "../../src/base/tensor.ts";
import { loadConfig } from "../../src/config/load.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import { GraphBuilder } from "../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import type { ReadingSlice, TrainingJob } from "../../src/train/training-job.ts";

const size = 8;
const floats = (dims: readonly number[], values: readonly number[]) =>
  tensor("float32", dims, Float32Array.from(values));

/** Foretells the next reading of a stream of one field from the last eight. */
export function seriesModel({ hidden = 16, start = 0.3 } = {}): Uint8Array {
  const g = new GraphBuilder();
  const random = seededRandom(11);
  const weights = (...dims: number[]) =>
    floats(
      dims,
      Array.from({ length: dims.reduce((a, b) => a * b) }, () => (random() * 2 - 1) * start),
    );
  const x = g.input("window", "float32", ["batch", size, 1]);
  const scaled = g.div(g.sub(x, g.initializer("mean", floats([1], [0]))), g.initializer("std", floats([1], [1])), {
    name: "scaled",
  });
  const flat = g.reshape(scaled, [0, size]);
  const h = g.tanh(g.gemm(flat, g.initializer("w1", weights(size, hidden)), g.initializer("b1", weights(hidden))));
  g.output("foretold", g.gemm(h, g.initializer("w2", weights(hidden, 1)), g.initializer("b2", weights(1))));
  return encodeModel(g.model);
}

export const seriesCard = (differing: Record<string, unknown> = {}): Card =>
  cardSchema.parse({
    format: 1,
    name: "series",
    version: 1,
    task: "forecast",
    fields: [{ name: "level", unit: "m" }],
    period: "1s",
    window: { size, hop: 1 },
    inputs: [{ name: "window", dims: ["batch", size, 1] }],
    outputs: [{ name: "foretold", kind: "value", dims: ["batch", 1] }],
    loss: { kind: "mse", output: "foretold" },
    target: { kind: "next", horizon: 1 },
    train: { rate: 0.005, batch: 32, epochs: 8, seed: 2 },
    trainable: { w1: "averaged", b1: "averaged", w2: "averaged", b2: "averaged" },
    ...differing,
  });

/** Readings of two sources, a second apart, in slices as the journal gives them. */
export function* seriesReadings(count = 1_200, sliceSize = 500): Generator<ReadingSlice> {
  const sources: Source[] = [{ tank: "a" }, { tank: "b" }];
  const random = seededRandom(5);
  for (let first = 0; first < count; first += sliceSize) {
    const n = Math.min(sliceSize, count - first);
    const at = Array.from({ length: n }, (_, index) => first + index);
    const frame: Frame = {
      stream: "tank",
      fields: ["level"],
      first,
      count: n,
      boot: "boot",
      wallOffset: 0,
      source: Uint32Array.from(at, (index) => index % 2),
      ts: Float64Array.from(at, (index) => 1_700_000_000_000 + Math.floor(index / 2) * 1_000),
      arrived: Float64Array.from(at, (index) => index * 500),
      flags: new Uint8Array(n).fill(1),
      values: [Float64Array.from(at, (index) => Math.sin(index / 9) + 0.05 * (random() - 0.5))],
    };
    yield { frame, sources };
  }
}

/** The stream as a configuration has it. */
function tankStream() {
  const text = JSON.stringify({
    version: 1,
    gateway: { id: "gw" },
    sensors: { url: "mqtt://127.0.0.1" },
    streams: { tank: { topic: "tanks/{tank}", codec: "json", fields: { level: "level" }, model: "series" } },
  });
  const { tank } = loadConfig({ text }).config.streams;
  if (!tank) throw new Error("the configuration has no stream tank");
  return tank;
}

/** A job on these readings. */
export const seriesJob = (differing: Partial<TrainingJob> = {}): TrainingJob => {
  const card = differing.card ?? seriesCard();
  if (!card.train) throw new Error("the card has no settings");
  return {
    card,
    model: seriesModel(),
    settings: card.train,
    data: [{ stream: { name: "tank", fields: ["level"], config: tankStream() } }],
    threads: 1,
    limits: {},
    version: "0.1.0",
    ...differing,
  };
};

/** Writes the bundle of `seriesModel` with one golden sample, made true for it. */
export async function writeSeriesBundle(root: string, differing: Record<string, unknown> = {}): Promise<string> {
  const card = seriesCard(differing);
  const dir = join(root, card.name);
  mkdirSync(dir, { recursive: true });
  const model = seriesModel();
  writeFileSync(join(dir, "model.onnx"), model);
  writeFileSync(join(dir, "card.yaml"), stringify(card));
  const levels = Array.from({ length: size }, (_, index) => Math.sin(index / 5));
  // Loaded here: who makes jobs only must not map onnxruntime.
  const { loadSession } = await import("../../src/drivers/onnxruntime.ts");
  const session = await loadSession(model);
  const window = floats([1, size, 1], levels);
  const { foretold } = await session.run({ window });
  await session.release();
  const sample = {
    name: "a slow wave",
    payloads: levels.map((level) => JSON.stringify({ level })),
    outputs: { foretold: Number(foretold?.data[0]) },
  };
  writeFileSync(join(dir, "golden.ndjson"), `${JSON.stringify(sample)}\n`);
  return dir;
}
