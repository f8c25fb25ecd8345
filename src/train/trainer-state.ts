/** What was seen in one epoch. */
export type EpochFigures = {
  /** From 1. */
  readonly epoch: number;
  /** Mean loss over the examples, as each was seen. */
  readonly loss: number;
  /** Null: there are no examples to validate on. */
  readonly validationLoss: number | null;
  readonly rate: number;
};

/** All that a training needs to go on as if it had not been interrupted. */
export type TrainerState = {
  /** Epochs that are done, and steps that are done in the one that follows. */
  epoch: number;
  step: number;
  weights: Float32Array;
  /** The optimizer's vectors, in the order of the training graph. */
  slots: readonly Float32Array[];
  moments: Float32Array;
  /** Of the epoch that is not done: the sum of losses, each times what it counts, and what they count together. */
  lossSum: number;
  lossCount: number;
  /** The epoch with the least watched loss: what training gives in the end. Null before the first is done. */
  best: { readonly epoch: number; readonly loss: number; weights: Float32Array; moments: Float32Array } | null;
  /** Epochs since the best one, and since the rate was reduced or the best one came. */
  sinceBest: number;
  sinceReduced: number;
  reductions: number;
  history: EpochFigures[];
};

/** The start of a training from these weights. */
export const firstState = (weights: Float32Array, slots: number, moments: Float32Array): TrainerState => ({
  epoch: 0,
  step: 0,
  weights,
  slots: Array.from({ length: slots }, () => new Float32Array(weights.length)),
  moments,
  lossSum: 0,
  lossCount: 0,
  best: null,
  sinceBest: 0,
  sinceReduced: 0,
  reductions: 0,
  history: [],
});
