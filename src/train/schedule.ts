import type { Card } from "../inference/card.ts";

/** How a model is trained: what the card says under `train`, or what was asked for instead. */
export type TrainingSettings = NonNullable<Card["train"]>;

/** Where a training is. */
export type ScheduleAt = {
  /** From 0. */
  readonly epoch: number;
  /** Share of all steps that are done, 0 to 1. */
  readonly share: number;
  /** How often the plateau schedule has reduced the rate. */
  readonly reductions: number;
};

/** The learning rate of a step. Pure, so that a training that goes on has the rates that it would have had. */
export function rateAt({ rate, schedule }: Pick<TrainingSettings, "rate" | "schedule">, at: ScheduleAt): number {
  switch (schedule.kind) {
    case "constant":
      return rate;
    case "step":
      return rate * schedule.factor ** Math.floor(at.epoch / schedule.everyEpochs);
    case "cosine":
      return schedule.least + ((rate - schedule.least) * (1 + Math.cos(Math.PI * Math.min(1, at.share)))) / 2;
    case "plateau":
      return rate * schedule.factor ** at.reductions;
  }
}
