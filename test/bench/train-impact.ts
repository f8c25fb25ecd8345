import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { resolve } from "node:path";
import mqtt from "mqtt";
import { threefry } from "../../src/base/counter-random.ts";
import { seededRandom } from "../../src/base/random.ts";
import { tensor } from "../../src/base/tensor.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import { GraphBuilder } from "../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import type { DataSet } from "../../src/train/data-set.ts";
import type { trainInChild as TrainInChild } from "../../src/train/trainer-child.ts";
import { settingsOf } from "../../src/train/training-settings.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { windowsOf } from "./clients.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { measure, rate, typical } from "./latency.ts";
import { cpuSeconds, machine, median, pssMegabytes, type Report, type Row } from "./measure.ts";

/** Of the package, as it is installed: a clone also holds what strips types. */
const packaged = resolve(import.meta.dirname, "../../.cache/bench/dist/train/trainer-child.js");
const { trainInChild } = (await import(packaged)) as { trainInChild: typeof TrainInChild };

type Subject = { readonly card: Card; readonly model: Uint8Array };

/** As many grey images as MNIST has, of its size: what they show does not matter here. */
function images(count = 60_000): DataSet {
  const pixels = new Uint32Array((count * 28 * 28) / 4);
  const words = new Uint32Array(2);
  for (let i = 0; i < pixels.length; i += 2) {
    threefry(1, 1, i, 0, words);
    pixels.set(words, i);
  }
  const numbers = Int32Array.from({ length: count }, (_, index) => index);
  return {
    data: {
      images: tensor("uint8", [count, 28, 28], new Uint8Array(pixels.buffer)),
      labels: tensor(
        "int32",
        [count],
        numbers.map((index) => index % 10),
      ),
    },
    inputs: { image: { data: "images", type: "uint8", dims: [28, 28] } },
    target: { data: "labels", type: "int32", dims: [] },
    first: numbers,
    place: numbers,
    reach: 1,
    weights: new Float32Array(count).fill(1),
    source: new Int32Array(count),
    ts: new Float64Array(count).fill(Number.NaN),
    marked: new Uint8Array(count),
    manifest: { from: "bench", readings: count, examples: count, hash: "0".repeat(64), streams: [] },
  };
}

/** 784-200-200-10. */
function perceptron(): Subject {
  const g = new GraphBuilder();
  const random = seededRandom(1);
  const layer = (rows: number, columns: number) =>
    g.initializer(
      `w${rows}_${columns}`,
      tensor(
        "float32",
        [rows, columns],
        new Float32Array(rows * columns).map(() => (random() - 0.5) / Math.sqrt(rows)),
      ),
    );
  const bias = (name: string, size: number) => g.initializer(name, tensor("float32", [size], new Float32Array(size)));
  const image = g.input("image", "uint8", ["batch", 28, 28]);
  const x = g.reshape(g.div(g.cast(image, "float32"), 255), [0, 784]);
  const first = g.relu(g.gemm(x, layer(784, 200), bias("b1", 200)));
  const second = g.relu(
    g.gemm(
      first,
      g.initializer(
        "w2",
        tensor(
          "float32",
          [200, 200],
          new Float32Array(40_000).map(() => (random() - 0.5) / 14),
        ),
      ),
      bias("b2", 200),
    ),
  );
  g.output("logits", g.gemm(second, layer(200, 10), bias("b3", 10)));
  const card = cardSchema.parse({
    format: 1,
    name: "mlp",
    version: 1,
    task: "classification",
    inputs: [{ name: "image", type: "uint8", dims: ["batch", 28, 28], from: "media" }],
    outputs: [{ name: "logits", kind: "logits", dims: ["batch", 10] }],
    labels: [..."0123456789"],
    loss: { kind: "crossEntropy", output: "logits" },
    target: { kind: "label" },
    train: { batch: 32, epochs: 1_000, rate: 1e-3 },
    trainable: {
      w784_200: "averaged",
      b1: "averaged",
      w2: "averaged",
      b2: "averaged",
      w200_10: "averaged",
      b3: "averaged",
    },
  });
  return { card, model: encodeModel(g.model) };
}

async function convolutional(): Promise<Subject> {
  const { card, modelFile } = await openBundle(resolve(import.meta.dirname, "../../models/digits-cnn"));
  return { card, model: readFileSync(modelFile) };
}

/**
 * Trains until `stop`; tells when its first steps were done, and its memory at the most where that is asked for: to read it
 * takes milliseconds, which would be found in the latencies that are measured meanwhile.
 */
function training({ card, model }: Subject, data: DataSet, stop: AbortSignal, weigh: boolean, niceness = 19) {
  const began = performance.now();
  const seen = { firstStepMs: Number.NaN, firstStepCpu: Number.NaN, megabytes: 0, pid: 0 };
  const first = Promise.withResolvers<void>();
  const ended = trainInChild({
    job: {
      card,
      model,
      settings: settingsOf(card, { epochs: 1_000 }),
      threads: 1,
      runMs: 20,
      limits: {},
      version: "bench",
    },
    data,
    signal: stop,
    niceness,
    onStart: (pid) => {
      seen.pid = pid;
    },
    onEvent: ({ event }) => {
      if (event !== "progress") return;
      if (Number.isNaN(seen.firstStepMs)) {
        seen.firstStepMs = performance.now() - began;
        seen.firstStepCpu = cpuSeconds(seen.pid);
      }
      if (weigh) seen.megabytes = Math.max(seen.megabytes, pssMegabytes(seen.pid));
      first.resolve();
    },
  });
  ended.then(() => first.resolve(), first.reject);
  return { seen, ended, first: first.promise };
}

/** Trains until so long after the first steps. */
async function run(subject: Subject, count: number, forMs: number) {
  const stop = new AbortController();
  const { seen, ended, first } = training(subject, images(count), stop.signal, true, 0);
  await first;
  await pause(forMs);
  stop.abort();
  await ended.catch(() => {});
  return seen;
}

/** What a training costs the inference beside it, and the device. */
export async function trainImpact({ seconds, pairs, say }: BenchOptions): Promise<Report> {
  const rows: Row[] = [];
  const notes: string[] = [];
  const tell = (row: Row) => {
    rows.push(row);
    say(row);
  };
  const mlp = perceptron();
  const cnn = await convolutional();
  for (const [name, subject] of [
    ["MLP 784-200-200-10", mlp],
    ["digits-cnn", cnn],
  ] as const) {
    // Few examples: the start of the process, not the making of the data, is what is looked for.
    const { firstStepMs, firstStepCpu } = await run(subject, 2_000, 0);
    const value = firstStepMs / 1000;
    tell({
      what: `${name}: start of the process to its first steps`,
      value,
      unit: "s",
      goal: "<= 1 s",
      met: value <= 1,
    });
    tell({ what: `${name}: processor time of that start`, value: firstStepCpu, unit: "s" });
  }
  for (const [name, subject, count, goal] of [
    ["MLP 784-200-200-10", mlp, 2_000, 150],
    ["MLP 784-200-200-10", mlp, 60_000, 150],
    ["digits-cnn", cnn, 60_000, 350],
  ] as const) {
    const { megabytes } = await run(subject, count, 1_000 * Math.min(20, seconds));
    const what = `${name}: memory of the trainer (PSS), ${count} images`;
    tell({ what, value: megabytes, unit: "MB", goal: `<= ${goal} MB`, met: megabytes <= goal });
  }

  const count = seconds * rate;
  const data = images(10_000);
  const broker = await startMosquitto({ conf: recommended });
  const client = await mqtt.connectAsync(broker.url, { protocolVersion: 5 });
  if (client.stream instanceof Socket) client.stream.setNoDelay(true);
  const gateway = await GatewayProcess.start({ url: broker.url, qos: 0, publish: "all" });
  try {
    const p99 = async () => {
      const through = await measure(client, "tidegate/bench/results/#", count, 0, windowsOf(count));
      if (through.missing > 0) notes.push(`${through.missing} results did not come.`);
      return typical(through, 0.99);
    };
    // It gets quicker for a while after its start.
    for (let warm = 0; warm < 3; warm++) await p99();
    const ratios: number[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const alone = await p99();
      const stop = new AbortController();
      const beside = training(mlp, data, stop.signal, false);
      await beside.first;
      const together = await p99();
      stop.abort();
      await beside.ended.catch(() => {});
      ratios.push(together / alone);
      notes.push(`pair ${pair + 1}: p99 ${alone.toFixed(2)} ms alone, ${together.toFixed(2)} ms beside a training.`);
    }
    const value = median(ratios);
    tell({
      what: `publish to result at ${rate} msg/s, p99 beside a training / alone`,
      value,
      unit: "x",
      goal: "<= 1.25",
      met: value <= 1.25,
    });
  } finally {
    await gateway.stop();
    await client.endAsync();
    await broker.stop();
  }
  notes.push(
    "The trainer has one thread, the lowest priority (SCHED_IDLE), runs of 20 ms.",
    "Memory is the proportional set (PSS): what the process adds to a gateway whose processes map Node and onnxruntime, too.",
  );
  return { name: "train-impact", machine: machine(), rows, notes };
}
