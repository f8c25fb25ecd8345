import type { Card } from "../inference/card.ts";
import type { Baselines } from "./baselines.ts";

type Metrics = Readonly<Record<string, number>>;

/** What decides for each task, and whether more of it is better. */
const deciding: {
  readonly [T in Card["task"]]?: readonly { readonly name: string; readonly isMoreBetter: boolean }[];
} = {
  regression: [{ name: "mse", isMoreBetter: false }],
  forecast: [{ name: "mse", isMoreBetter: false }],
  classification: [{ name: "accuracy", isMoreBetter: true }],
  language: [{ name: "perplexity", isMoreBetter: false }],
  anomaly: [
    { name: "eventsFound", isMoreBetter: true },
    { name: "falseEpisodes", isMoreBetter: false },
  ],
};

/** Where a model does worse than an obvious method on the same examples: one sentence each; empty: nowhere. */
export function behindBaselines(task: Card["task"], metrics: Metrics, baselines: Baselines): string[] {
  return (deciding[task] ?? []).flatMap(({ name, isMoreBetter }) =>
    Object.entries(baselines).flatMap(([baseline, { [name]: theirs }]) => {
      const { [name]: own } = metrics;
      if (own === undefined || theirs === undefined) return [];
      const isBehind = isMoreBetter ? own < theirs : own > theirs;
      return isBehind ? [`${name} is ${own.toPrecision(4)}, that of ${baseline} ${theirs.toPrecision(4)}`] : [];
    }),
  );
}
