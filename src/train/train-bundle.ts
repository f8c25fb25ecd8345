import { reasonOf } from "../base/errors.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { retellGolden } from "../inference/golden.ts";
import type { ModelHost } from "../inference/model-host.ts";
import { writeCandidate, writeGolden } from "./candidate-bundle.ts";
import type { TrainingSettings } from "./schedule.ts";
import { type TrainerOptions, trainInChild } from "./trainer-child.ts";
import type { Candidate, TrainingJob, TrainingResult } from "./training-job.ts";

export type BundleTraining = Omit<TrainerOptions, "job"> & {
  readonly bundle: Bundle;
  readonly modelBytes: Uint8Array;
  readonly settings: TrainingSettings;
  readonly job: Omit<TrainingJob, "card" | "model" | "settings">;
  /** Where golden samples are run, the way that the stream's windows go. */
  readonly host: Pick<ModelHost, "load" | "unload" | "run" | "runTensors">;
  /** Folder for the candidate; emptied first. */
  readonly dir: string;
  /** ms UTC. */
  readonly now: number;
};

/** A new version costs a reload, and what was learnt about the old one: it is not taken for less than 1 %. */
const leastGain = 0.01;

/** What came of training a bundle. */
export type BundleOutcome = {
  readonly result: TrainingResult;
  /** Absent when nothing was learnt. `isBetter`: the gate lets it take over. */
  readonly candidate?: Candidate & {
    readonly dir: string;
    readonly isBetter: boolean;
    readonly reasons: readonly string[];
  };
};

/**
 * Trains a bundle in a child process and writes what came of it as a bundle of its own: weights, statistics, threshold,
 * card and golden samples are one version.
 *
 * @throws TidegateError whatever the trainer raises; GOLDEN_FAILED
 */
export async function trainBundle(training: BundleTraining): Promise<BundleOutcome> {
  const { bundle, modelBytes, settings, job, host, dir, now, ...rest } = training;
  const reference = alarmsIn(bundle.golden);
  // Samples that are to raise an alarm are events that no training sees: the candidate is tried on them below.
  const gate = { margin: leastGain, needsEvents: !reference.includes(true), ...job.gate };
  const whole = { ...job, card: bundle.card, model: modelBytes, settings, gate };
  const result = await trainInChild({ ...rest, job: whole });
  const { candidate } = result;
  if (!candidate) return { result };
  await writeCandidate(dir, { parent: bundle, candidate, result, settings, at: now });
  const golden = await retold(dir, host);
  const missed = alarmsIn(golden).flatMap((isAlarm, index) => (reference[index] && !isAlarm ? [index + 1] : []));
  const reasons = [
    ...(missed.length > 0 ? [`golden sample ${missed.join(", ")} raises no alarm any more`] : []),
    ...candidate.gate.reasons,
  ];
  const isBetter = candidate.gate.outcome === "passed" && missed.length === 0;
  return { result, candidate: { ...candidate, dir, isBetter, reasons } };
}

/** Makes a candidate's golden samples true. */
async function retold(dir: string, host: BundleTraining["host"]): Promise<string> {
  const bundle = await openBundle(dir);
  if (bundle.golden === "") return "";
  const model = await host.load(bundle);
  try {
    const golden = await retellGolden(model, host);
    await writeGolden(dir, bundle.card, golden);
    return golden;
  } finally {
    await host.unload(model);
  }
}

/** Which of a bundle's golden samples are to raise an alarm. */
function alarmsIn(golden: string): boolean[] {
  const lines = golden.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    try {
      return (JSON.parse(line) as { verdict?: unknown }).verdict === "alarm";
    } catch (thrown) {
      throw new Error(`a golden sample is no JSON: ${reasonOf(thrown)}`, { cause: thrown });
    }
  });
}
