/** The model as the coordinator has it: weights and the memories of its strategy, all float32 [parameters]. */
export type ServerState = {
  readonly weights: Float32Array;
  /** In the order of the strategy's `slots`. */
  readonly slots: readonly Float32Array[];
};

/** Settings of the strategies; each uses those that its formula names. */
export type StrategyOptions = {
  /** eta: how far the weights follow the mean change. */
  readonly rate: number;
  /** beta of FedAvgM: share of the last step that is kept. */
  readonly momentum: number;
  /** Memory of the change, and of its square. */
  readonly beta1: number;
  readonly beta2: number;
  /** Added to the divisor: how little adaptive rates adapt. */
  readonly tau: number;
};

/** Settings that a strategy has unless the fleet's configuration says otherwise; docs/results.md has what the momentum does. */
export const strategyDefaults: StrategyOptions = { rate: 1, momentum: 0.5, beta1: 0.9, beta2: 0.99, tau: 1e-3 };

/** How the weights of the fleet's model follow what its gateways have learned. */
export type Strategy = {
  /** Memories that it keeps from round to round, and what each starts with. */
  readonly slots: Readonly<Record<string, (options: StrategyOptions) => number>>;
  /** Whether updates count whenever they come, by their staleness. */
  readonly isAsynchronous?: true;
  /** Whether gateways must hold their weights to the base (`training.mu` of the round). */
  readonly needsMu?: true;
  /**
   * Makes a step, in place. Float64 within a coordinate, float32 from step to step: a restart changes nothing.
   * @param change  the mean change of the gateways, float32 [parameters]
   */
  step(state: ServerState, change: Float32Array, options: StrategyOptions): void;
};
