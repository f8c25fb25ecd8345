import { fedadagrad } from "./fedadagrad.ts";
import { fedadam } from "./fedadam.ts";
import { fedavg } from "./fedavg.ts";
import { fedavgm } from "./fedavgm.ts";
import { fedbuff } from "./fedbuff.ts";
import { fedprox } from "./fedprox.ts";
import { fedyogi } from "./fedyogi.ts";
import type { ServerState, Strategy, StrategyOptions } from "./strategy.ts";

/** Strategies by name. */
export const strategies = { fedavg, fedprox, fedavgm, fedadagrad, fedadam, fedyogi, fedbuff } as const satisfies Record<
  string,
  Strategy
>;

export type StrategyName = keyof typeof strategies;

/** The state that a strategy starts from with these weights, which it changes in place. */
export const startOf = (strategy: Strategy, weights: Float32Array, options: StrategyOptions): ServerState => ({
  weights,
  slots: Object.values(strategy.slots).map((start) => new Float32Array(weights.length).fill(start(options))),
});
