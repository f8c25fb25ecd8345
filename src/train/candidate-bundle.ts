import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeDurably } from "../base/durable-file.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { Card } from "../inference/card.ts";
import type { TrainingSettings } from "./schedule.ts";
import type { Candidate, TrainingResult } from "./training-job.ts";

export type CandidateFacts = {
  /** What it was made from. */
  readonly parent: Bundle;
  readonly candidate: Candidate;
  readonly result: TrainingResult;
  readonly settings: TrainingSettings;
  /** ms UTC. */
  readonly at: number;
};

/** Readable by the gateway's group, as the bundles of a package are by all. */
const fileMode = 0o640;

/**
 * Writes a new version of a bundle into a folder, which is emptied first. Its golden samples are still those of its
 * parent: see `retellGolden`.
 */
export async function writeCandidate(dir: string, facts: CandidateFacts): Promise<void> {
  const { parent, candidate } = facts;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await writeDurably(join(dir, "model.onnx"), candidate.model, fileMode);
  await writeDurably(join(dir, "card.yaml"), stringify(cardOf(facts), { lineWidth: 120 }), fileMode);
  if (parent.golden !== "") await writeGolden(dir, parent.card, parent.golden);
}

/** Writes a bundle's golden samples. */
export const writeGolden = (dir: string, card: Card, text: string): Promise<void> =>
  writeDurably(join(dir, card.golden), text, fileMode);

/** The card of the new version. It names no stream, source or time: bundles lie in the open. */
function cardOf({ parent, candidate, result, settings, at }: CandidateFacts): object {
  const { card } = parent;
  const { calibration } = candidate;
  const threshold = calibration?.outcome === "calibrated" ? calibration : undefined;
  const { readings, examples, hash } = result.manifest;
  return {
    ...card,
    version: card.version + 1,
    parent: parent.hash,
    metrics: candidate.evaluation.metrics,
    baselines: candidate.baselines,
    ...(card.calibration && threshold
      ? {
          calibration: {
            ...card.calibration,
            threshold: threshold.threshold,
            samples: threshold.samples,
            slice: "windows of the device's own buffer, later than those that the weights come from",
          },
        }
      : {}),
    training: {
      method: "trained further on the device",
      at: new Date(at).toISOString(),
      engine: result.engine,
      readings,
      examples,
      dataHash: hash,
      epochs: result.history.length,
      bestEpoch: result.best?.epoch,
      settings,
      before: { version: card.version, metrics: candidate.active.metrics },
    },
  };
}
