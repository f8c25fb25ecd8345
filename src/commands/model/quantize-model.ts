import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { loadSession } from "../../drivers/onnxruntime.ts";
import { type Bundle, openBundle } from "../../inference/bundle.ts";
import { retellGolden, runGolden } from "../../inference/golden.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { encodeModel, readModel } from "../../onnx/model-file.ts";
import type { ModelProto } from "../../onnx/onnx_pb.ts";
import { type QuantizeMode, quantize } from "../../onnx/quantize.ts";
import { sampleTensor } from "../../onnx/sample-tensor.ts";
import type { DataSet } from "../../train/data-set.ts";
import { evaluate } from "../../train/evaluate.ts";
import { splitOf } from "../../train/splits.ts";
import type { Io } from "../verb.ts";
import { dataFromBuffer } from "./eval-model.ts";
import type { Models } from "./model-folders.ts";
import { dataFromFiles, type FileOptions } from "./training-data.ts";

export type QuantizeOptions = {
  readonly mode: QuantizeMode;
  readonly out?: string | undefined;
  /** What both are measured on: files, or a stream's readings; neither: nothing. */
  readonly files?: Omit<FileOptions, "seed"> | undefined;
  readonly stream?: string | undefined;
};

type Measured = {
  readonly bytes: number;
  /** Of one run with one row, and of each row of a run with 32; medians. */
  readonly microseconds: number;
  readonly microsecondsOf32: number;
  /** On the test slice; empty without data. */
  readonly metrics: Readonly<Record<string, number>>;
};

/**
 * Writes a version of a bundle in 8-bit integers, and measures both.
 * @throws TidegateError MODEL_PRESENT, MODEL_UNSUPPORTED, DATA_UNUSABLE, …
 */
export async function quantizeBundle(io: Io, models: Models, bundle: Bundle, options: QuantizeOptions) {
  const target = resolve(options.out ?? `${bundle.name}-int8`);
  if (statSync(target, { throwIfNoEntry: false })) throw new TidegateError("MODEL_PRESENT", { dir: target });
  const seed = bundle.card.train?.seed ?? 1;
  const { files, stream } = options;
  const data = files
    ? await dataFromFiles(bundle.card, { ...files, seed })
    : stream === undefined
      ? undefined
      : await dataFromBuffer(io, models, bundle, stream, seed);
  const original = await readModel(bundle.modelFile);
  const { model, tensors, parameters, products } = quantize(original, options.mode);
  if (tensors.length === 0)
    throw new TidegateError("MODEL_UNSUPPORTED", {
      what: bundle.name,
      reason: "it stores no weights that are worth 8-bit integers",
    });
  const before = await measure(original, bundle, data, seed);
  const after = await measure(model, bundle, data, seed);
  const folder = mkdtempSync(join(dirname(target), ".quantize-"));
  try {
    write(folder, basename(target), bundle, model, { mode: options.mode, metrics: after.metrics });
    const golden = await settleGolden(folder, bundle, models, io.signal);
    renameSync(folder, target);
    return {
      name: basename(target),
      dir: target,
      mode: options.mode,
      tensors: tensors.length,
      parameters,
      products,
      ...golden,
      before,
      after,
    };
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  }
}

/** Its card says what it was made from; there is nothing left in it that could be trained. */
function write(
  folder: string,
  name: string,
  { card, hash, golden }: Bundle,
  model: ModelProto,
  facts: { mode: string; metrics: object },
): void {
  const { train: _train, fit: _fit, ...kept } = card;
  const changed = {
    ...kept,
    name,
    version: 1,
    parent: hash,
    trainable: {},
    metrics: facts.metrics,
    training: { method: `8-bit integers (${facts.mode})`, of: { name: card.name, version: card.version } },
  };
  writeFileSync(join(folder, "model.onnx"), encodeModel(model));
  writeFileSync(join(folder, "card.yaml"), stringify(changed, { lineWidth: 118 }));
  if (golden !== "") writeFileSync(join(folder, card.golden), golden);
}

/** Lets the golden samples ask for what the new model gives, and counts those that it still judges as the old one did. */
async function settleGolden(folder: string, { card, golden }: Bundle, { settings }: Models, signal: AbortSignal) {
  const lines = golden.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) return { golden: 0, judgedAlike: 0 };
  const { threads, maxBatch, providers } = settings;
  const host = new ModelHost({ clock: systemClock, log: silentLog, threads, maxBatch, providers });
  try {
    await host.start(signal);
    const told = await retellGolden(await host.load(await openBundle(folder)), host);
    writeFileSync(join(folder, card.golden), told);
    const loaded = await host.load(await openBundle(folder));
    const { faults } = await runGolden(loaded, host);
    if (faults.length > 0)
      throw new TidegateError("GOLDEN_FAILED", { model: folder, faults, reason: faults.join("; ") });
    const judgement = (line: string): string => {
      const { verdict, label } = JSON.parse(line) as { verdict?: string; label?: string };
      return JSON.stringify([verdict, label]);
    };
    const after = told.split("\n");
    const judgedAlike = lines.filter((line, index) => judgement(line) === judgement(after[index] ?? "{}")).length;
    return { golden: lines.length, judgedAlike };
  } finally {
    await host.stop(5_000);
  }
}

async function measure(
  model: ModelProto,
  { card }: Bundle,
  data: DataSet | undefined,
  seed: number,
): Promise<Measured> {
  const bytes = encodeModel(model);
  const [microseconds, of32] = [await timeOf(bytes, 1), await timeOf(bytes, 32)];
  const metrics = data ? (await evaluate(model, card, data, splitOf(data, seed).test)).metrics : {};
  return { bytes: bytes.length, microseconds, microsecondsOf32: of32 / 32, metrics };
}

/** Median time of a run, in microseconds; NaN for a model whose batch is another one. */
async function timeOf(bytes: Uint8Array, rows: number): Promise<number> {
  const session = await loadSession(bytes);
  try {
    const feeds = Object.fromEntries(
      session.inputs.map(({ name, type = "float32", shape = [] }) => {
        const dims = shape.map((dim, axis) => (axis === 0 ? rows : typeof dim === "number" && dim > 0 ? dim : 1));
        return [name, sampleTensor(type, dims)];
      }),
    );
    const times: number[] = [];
    const end = performance.now() + 300;
    while (times.length < 5 || (performance.now() < end && times.length < 1_000)) {
      const start = performance.now();
      await session.run(feeds);
      times.push((performance.now() - start) * 1_000);
    }
    return times.sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "MODEL_RUN_FAILED") return Number.NaN;
    throw thrown;
  } finally {
    await session.release();
  }
}
