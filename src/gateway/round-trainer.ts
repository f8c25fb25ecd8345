import { readFile } from "node:fs/promises";
import { TidegateError } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import type { MadeUpdate } from "../federated/client/model-rounds.ts";
import { lineageOf, type RoundState } from "../federated/client/round-state.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { entryBeside } from "../inference/model-child.ts";
import { workInChild } from "../train/trainer-child.ts";
import type { BaseWeights } from "./base-weights.ts";
import type { RoundFiles } from "./round-files.ts";
import { jobOfRound, type RoundJob, type RoundResult } from "./round-job.ts";
import type { ReadingChoice } from "./training-readings.ts";
import type { Trainings } from "./trainings.ts";

export type RoundTrainerOptions = {
  readonly config: Config;
  readonly trainings: Pick<Trainings, "files" | "readings" | "limits">;
  readonly files: RoundFiles;
  readonly bases: BaseWeights;
};

const entry = entryBeside(import.meta.url, "round-process");

/** Makes a round's update of the gateway's own readings, in a process that is niced and gone afterwards. */
export class RoundTrainer {
  readonly #options: RoundTrainerOptions;

  constructor(options: RoundTrainerOptions) {
    this.#options = options;
  }

  /**
   * @param state  its residual is that which goes into this round
   * @returns null when the signal ended it
   * @throws TidegateError DATA_TOO_LITTLE, BASE_MISSING, CODEC_REFUSED, TRAINER_ENDED, …
   */
  async train(model: string, round: RoundDocument, state: RoundState, signal: AbortSignal): Promise<MadeUpdate | null> {
    const { config, trainings, files, bases } = this.#options;
    const base = await bases.find(model, round.base.hash);
    if (!base) throw new TidegateError("BASE_MISSING", { model, hash: round.base.hash });
    const { bundle, weights } = base;
    const choice = await this.#choose(model, round, state);
    const [update, left] = [await files.place(model), await files.place(model)];
    const job: RoundJob = {
      card: bundle.card,
      model: bundle.modelBytes ?? (await readFile(bundle.modelFile)),
      base: weights,
      ...jobOfRound(round),
      names: { fleet: config.gateway.fleet, gateway: config.gateway.id, model },
      residual: state.residual && (await files.find(model, state.residual.file)),
      update,
      left,
      data: await trainings.readings.data(choice),
      threads: config.training.threads,
      runMs: 20,
      limits: trainings.limits,
    };
    const data = trainings.readings.slices(choice);
    const made: RoundResult = await workInChild<RoundJob, RoundResult>(entry, { job, data, signal });
    if (!made) return null;
    const { version, length } = round.base;
    return {
      update: made.update,
      file: update.name,
      left: made.isLossy
        ? { file: left.name, lineage: lineageOf(round), version, length }
        : // Statistics tell nothing of the weights: what was held back of them stays.
          round.mode === "statistics"
          ? state.residual
          : null,
      cursors: Object.fromEntries(choice.readings.map(({ stream, until }) => [stream, until])),
    };
  }

  /** Of `gradients` those readings that no update that counts was made of. */
  async #choose(model: string, { mode }: RoundDocument, { cursors }: RoundState): Promise<ReadingChoice> {
    const { trainings, config } = this.#options;
    const choice = await trainings.readings.choose(trainings.readings.streamsOf(model, undefined));
    const isNew = mode === "gradients";
    const readings = choice.readings.map((range) => ({
      ...range,
      from: isNew ? Math.max(range.from, Math.min(range.until, cursors[range.stream] ?? 0)) : range.from,
    }));
    const count = readings.reduce((sum, { from, until }) => sum + until - from, 0);
    const needed = isNew ? 1 : config.training.minReadings;
    if (count < needed)
      throw new TidegateError("DATA_TOO_LITTLE", { purpose: "a round", actual: count, needed, unit: "readings" });
    return { ...choice, readings };
  }
}
