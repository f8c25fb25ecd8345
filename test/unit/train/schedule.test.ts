import { expect, test } from "vitest";
import { rateAt, type TrainingSettings } from "../../../src/train/schedule.ts";

const at = (schedule: TrainingSettings["schedule"], epoch: number, share = epoch / 10, reductions = 0): number =>
  rateAt({ rate: 0.1, schedule }, { epoch, share, reductions });

test("constant", () => {
  expect(at({ kind: "constant" }, 9)).toBe(0.1);
});

test("step: by a factor every so many epochs", () => {
  const schedule = { kind: "step", everyEpochs: 3, factor: 0.1 } as const;
  const rates = [0, 2, 3, 5, 6].map((epoch) => at(schedule, epoch));
  for (const [index, rate] of [0.1, 0.1, 0.01, 0.01, 0.001].entries()) expect(rates[index]).toBeCloseTo(rate, 12);
});

test("cosine: from the rate to the least, half way in the middle", () => {
  const schedule = { kind: "cosine", least: 0.02 } as const;
  expect(at(schedule, 0, 0)).toBeCloseTo(0.1, 12);
  expect(at(schedule, 5, 0.5)).toBeCloseTo(0.06, 12);
  expect(at(schedule, 10, 1)).toBeCloseTo(0.02, 12);
});

test("plateau: by a factor for each time that it got no better", () => {
  expect(at({ kind: "plateau", patience: 2, factor: 0.5 }, 9, 0.9, 3)).toBeCloseTo(0.0125, 12);
});
