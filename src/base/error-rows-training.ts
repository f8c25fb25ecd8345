import type { ErrorDefinition } from "./errors.ts";

/** Errors of gradients, training and evaluation. `errorTable` has them all. */
export const trainingErrors = {
  MODEL_UNTRAINABLE: {
    kind: "reject",
    exit: 65,
    message: "the model cannot be trained at node {node} ({op}): {reason}",
    help: "{remedy}",
  },
} as const satisfies Record<string, ErrorDefinition>;
