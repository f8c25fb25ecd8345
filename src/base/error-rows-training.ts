import type { ErrorDefinition } from "./errors.ts";

/** Errors of gradients, training and evaluation. `errorTable` has them all. */
export const trainingErrors = {
  MODEL_UNTRAINABLE: {
    kind: "reject",
    exit: 65,
    message: "the model cannot be trained at node {node} ({op}): {reason}",
    help: "{remedy}",
  },
  DATA_UNUSABLE: {
    kind: "reject",
    exit: 65,
    message: "{what} cannot be trained on: {reason}",
    help: "{remedy}",
  },
  DATA_TOO_LITTLE: {
    kind: "reject",
    exit: 65,
    message: "too little data for {purpose}: {actual} {unit}, at least {needed} are needed",
    help: "Wait until more has been gathered, widen the time range, or ask less of the model's card.",
  },
  CARD_UNTRAINABLE: {
    kind: "reject",
    exit: 65,
    message: "the card of {model} does not do for training: {reason}",
    help: "{remedy}",
  },
  TRAINING_DIVERGED: {
    kind: "reject",
    exit: 65,
    message: "training ended in epoch {epoch} at step {step}: {reason}",
    help: "The weights before it were kept. Try a smaller rate, or `clipNorm` in the card, and look for extreme values in the data.",
  },
  CHECKPOINT_MISMATCH: {
    kind: "reject",
    exit: 65,
    message: "the checkpoint {file} belongs to another training: {reason}",
    help: "Train with what it was made from, or begin anew with `--fresh`.",
  },
  CHECKPOINT_UNREADABLE: {
    kind: "corrupt",
    exit: 65,
    message: "the checkpoint {file} cannot be used: {reason}",
    help: "Begin anew with `--fresh`.",
  },
  TRAINER_ENDED: {
    kind: "retry",
    exit: 69,
    message: "the trainer process ended before its work was done: {reason}",
    help: "Where memory ran out, train on fewer examples or with a smaller batch. The next start goes on from the last checkpoint.",
  },
  MODEL_PRESENT: {
    kind: "config",
    exit: 78,
    message: "there is something at {dir} already",
    help: "It stays as it is. Give the model another name, or `--dir` another folder.",
  },
} as const satisfies Record<string, ErrorDefinition>;
