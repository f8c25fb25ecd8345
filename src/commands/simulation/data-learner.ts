import { readFile } from "node:fs/promises";
import { jobOfRound } from "../../gateway/round-job.ts";
import { roundWork } from "../../gateway/round-work.ts";
import type { Bundle } from "../../inference/bundle.ts";
import type { DataSet } from "../../train/data-set.ts";
import type { Learner } from "./learner.ts";

/** Learns from examples with the work that a gateway's trainer process does, in this process. */
export function dataLearner(bundle: Bundle, data: DataSet): Learner {
  return async ({ fleet, gateway, round, base, state, files, signal }) => {
    const model = round.subject;
    const [update, left] = [await files.place(model), await files.place(model)];
    const job = {
      ...jobOfRound(round),
      ...{ card: bundle.card, model: bundle.modelBytes ?? (await readFile(bundle.modelFile)), base },
      ...{ names: { fleet, gateway, model }, update, left, threads: 1, runMs: 1_000, limits: {} },
      residual: state.residual && (await files.find(model, state.residual.file)),
    };
    const made = await roundWork(job, data, { signal, tell: () => {}, collect: () => {}, sealerOf: () => undefined });
    if (!made) return null;
    const kept = round.mode === "statistics" ? state.residual : null;
    const { version, length } = round.base;
    return {
      ...{ update: made.update, file: update.name, cursors: state.cursors, loss: made.loss },
      left: made.isLossy ? { file: left.name, lineage: round.base.root ?? "", version, length } : kept,
    };
  };
}
