import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { TrainingReport } from "../../gateway/training-report.ts";
import { Trainings } from "../../gateway/trainings.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { trainBundle } from "../../train/train-bundle.ts";
import type { TrainingEvent } from "../../train/training-job.ts";
import { settingsOf } from "../../train/training-settings.ts";
import { openStore } from "../buffer/journal-access.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Io } from "../verb.ts";
import { packageVersion } from "../version.ts";
import type { Models } from "./model-folders.ts";
import { dataFromFiles, type FileOptions } from "./training-data.ts";

export type TrainOptions = {
  /** Keys of the card's `train` that differ. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly resume: "auto" | "require" | "fresh";
  readonly threads?: number;
  onEvent(event: TrainingEvent): void;
};

/**
 * Trains a model of the configuration on the gateway's buffer: in the running daemon, else here.
 * @throws TidegateError CONTROL_DENIED, DATA_DIR_IN_USE, JOURNAL_ABSENT, and those of `Trainings.train`
 */
export async function trainOnBuffer(
  io: Io,
  loaded: LoadedConfig,
  model: string,
  stream: string | undefined,
  { settings, resume, onEvent }: TrainOptions,
): Promise<TrainingReport> {
  const request = { model, settings, resume, ...(stream === undefined ? {} : { stream }) };
  const client = await ControlClient.connect(controlSocket(loaded)).catch((thrown: unknown) => {
    if (thrown instanceof TidegateError && thrown.code === "CONTROL_UNAVAILABLE") return undefined;
    throw thrown;
  });
  if (client) {
    try {
      const onItem = (item: unknown) => onEvent(item as TrainingEvent);
      return (await client.call("training.train", request, { onItem, signal: io.signal })) as TrainingReport;
    } finally {
      client.close();
    }
  }
  const { store, storageRoot } = await openStore(io, loaded);
  try {
    return await withHost(loaded.config.models, io.signal, async (host) => {
      const trainings = new Trainings({
        config: loaded.config,
        version: packageVersion(),
        keys: { storageRoot },
        journal: {
          read: async (...of) => store.read(...of),
          stateOf: async (name) => store.stateOf(name),
          stateGet: async (name) => store.stateGet(name),
          statePut: async (name, value) => store.statePut(name, value),
        },
        host,
        clock: systemClock,
        log: silentLog,
        niceness: 0,
      });
      return await trainings.train({ ...request, isForced: true, signal: io.signal, onEvent });
    });
  } finally {
    store.close();
  }
}

/**
 * Trains a bundle on files. What comes of it is written to `out`, whatever the gate says of it.
 * @throws TidegateError USAGE, CARD_UNTRAINABLE, FILE_UNREADABLE, RECORDING_INVALID, DATA_UNUSABLE, …
 */
export async function trainOnFiles(
  io: Io,
  models: Models,
  name: string,
  files: Omit<FileOptions, "seed">,
  { settings: wishes, resume, threads = 1, onEvent, out }: TrainOptions & { readonly out: string | undefined },
): Promise<TrainingReport> {
  const bundle = await models.open(name);
  const { card } = bundle;
  const settings = settingsOf(card, wishes);
  const dir = resolve(out ?? `${card.name}-${card.version + 1}`);
  if (dir === resolve(bundle.dir))
    throw new TidegateError("USAGE", { detail: "--out names the bundle that is trained: name another folder" });
  const data = await dataFromFiles(card, { ...files, seed: settings.seed });
  const { result: whole, candidate } = await withHost(models.settings, io.signal, async (host) =>
    trainBundle({
      bundle,
      modelBytes: bundle.modelBytes ?? (await readFile(bundle.modelFile)),
      settings,
      job: {
        threads,
        limits: {},
        checkpoint: { file: join(dirname(dir), `.${basename(dir)}.checkpoint`), everyMs: 30_000, resume },
        version: packageVersion(),
      },
      host,
      dir,
      now: Date.now(),
      data,
      signal: io.signal,
      niceness: 0,
      onEvent,
    }),
  );
  const { candidate: _candidate, reference: _reference, ...result } = whole;
  const report = { model: card.name, streams: [data.manifest.from], version: card.version, result };
  const faults = result.fault ? [result.fault.message] : [];
  if (result.ended === "stopped") return { ...report, outcome: "stopped", reasons: [] };
  if (!candidate) return { ...report, outcome: "diverged", reasons: faults };
  const { isBetter, reasons, evaluation, active, baselines } = candidate;
  return {
    ...report,
    outcome: isBetter ? "installed" : "kept",
    version: card.version + 1,
    reasons: [...faults, ...reasons],
    dir,
    metrics: evaluation.metrics,
    before: active.metrics,
    baselines,
  };
}

async function withHost<T>(
  { threads, maxBatch, providers }: Models["settings"],
  signal: AbortSignal,
  work: (host: ModelHost) => Promise<T>,
): Promise<T> {
  const host = new ModelHost({ clock: systemClock, log: silentLog, threads, maxBatch, providers });
  try {
    await host.start(signal);
    return await work(host);
  } finally {
    await host.stop(5_000);
  }
}
