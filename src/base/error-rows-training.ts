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
} as const satisfies Record<string, ErrorDefinition>;
