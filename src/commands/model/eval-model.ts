import { TidegateError } from "../../base/errors.ts";
import type { Bundle } from "../../inference/bundle.ts";
import { readModel } from "../../onnx/model-file.ts";
import { type Baselines, baselinesOf } from "../../train/baselines.ts";
import { compareVersions } from "../../train/compare.ts";
import type { DataSet } from "../../train/data-set.ts";
import { evaluate } from "../../train/evaluate.ts";
import { decide } from "../../train/gate.ts";
import { splitOf } from "../../train/splits.ts";
import { behindBaselines } from "../../train/standing-among.ts";
import { WindowData } from "../../train/window-data.ts";
import { openJournal } from "../buffer/journal-access.ts";
import type { Io } from "../verb.ts";
import type { Models } from "./model-folders.ts";

/** What `model eval --json` prints. */
export type ModelEvaluation = {
  readonly name: string;
  readonly version: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly baselines: Baselines;
  /** Examples that it was measured on: the newest, which no training has seen. */
  readonly samples: number;
  readonly gate: "passed" | "failed";
  readonly reasons: readonly string[];
};

/**
 * Measures a bundle on the test slice of examples. The gate: against another version the paired decision that the daemon
 * takes; without one, no obvious method may do better.
 */
export async function evaluateBundle(
  bundle: Bundle,
  data: DataSet,
  seed: number,
  against?: Bundle,
): Promise<ModelEvaluation> {
  const { card } = bundle;
  const model = await readModel(bundle.modelFile);
  const split = splitOf(data, seed);
  const { metrics, examples } = await evaluate(model, card, data, split.test);
  const baselines = baselinesOf(card, data, split);
  const facts = { name: card.name, version: card.version, metrics, baselines, samples: examples };
  if (!against) {
    const reasons = behindBaselines(card.task, metrics, baselines);
    return { ...facts, gate: reasons.length === 0 ? "passed" : "failed", reasons };
  }
  const active = { model: await readModel(against.modelFile), card: against.card };
  const { outcome, reasons } = decide(await compareVersions({ model, card }, active, data, split.test), { seed });
  return { ...facts, gate: outcome === "passed" ? "passed" : "failed", reasons };
}

/** Examples from a stream's readings in the buffer, through the daemon when one runs. */
export async function dataFromBuffer(
  io: Io,
  { loaded }: Models,
  bundle: Bundle,
  asked: string | undefined,
  seed: number,
): Promise<DataSet> {
  if (!loaded)
    throw new TidegateError("USAGE", { detail: "there is no configuration, so there is no buffer: say --data" });
  const { streams, training } = loaded.config;
  const name = asked ?? Object.keys(streams).find((each) => streams[each]?.model === bundle.name);
  const config = name === undefined ? undefined : streams[name];
  if (name === undefined || !config) {
    const detail =
      asked === undefined ? `no stream runs the model ${bundle.name}: say --data` : `there is no stream ${asked}`;
    throw new TidegateError("USAGE", { detail });
  }
  const data = new WindowData({
    card: bundle.card,
    stream: { name, fields: Object.keys(config.fields), config, window: config.window },
    maxExamples: training.maxExamples,
    seed,
  });
  const journal = await openJournal(io, loaded);
  try {
    await journal.readings({ stream: name }, (line) => void data.line(line));
  } finally {
    journal.close();
  }
  return data.finish();
}
