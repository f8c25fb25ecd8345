import type { ErrorDefinition } from "./errors.ts";

/**
 * Every error that Tidegate raises on purpose. `{name}` in `message` and `help` is filled from the error's facts.
 * A code keeps its meaning for ever: one that is no longer raised moves to `retiredCodes`.
 */
export const errorTable = {
  // base
  USAGE: {
    kind: "config",
    exit: 64,
    message: "{detail}",
    help: "`tidegate --help` lists the verbs, `tidegate VERB --help` shows one with an example.",
  },
  BUG: {
    kind: "bug",
    exit: 70,
    message: "{detail}",
    help: "This is a fault of Tidegate: please report it with the log.",
  },
  SHAPE_MISMATCH: {
    kind: "reject",
    exit: 65,
    message: "{what}: expected {expected}, got {actual}",
    help: "Compare the shapes of the data with the model card.",
  },
  STOPPED: { kind: "shed", exit: 75, message: "{what} has been stopped", help: "Try again once it runs." },
  TIMEOUT: {
    kind: "retry",
    exit: 69,
    message: "{what} did not answer within {timeoutMs} ms",
    help: "Look at `tidegate status` and the log.",
  },
  FILE_UNREADABLE: {
    kind: "config",
    exit: 74,
    message: "cannot read {file}: {reason}",
    help: "Check that the file exists and that this user may read it.",
  },

  // onnx
  MODEL_UNREADABLE: {
    kind: "reject",
    exit: 65,
    message: "{file} is not a readable ONNX model: {reason}",
    help: "Export the model again, or compare its hash with the original's: the file may be cut off.",
  },
  MODEL_UNSUPPORTED: {
    kind: "reject",
    exit: 65,
    message: "{what} cannot be used: {reason}",
    help: "Export the model with standard operators of opset 7 to 21.",
  },
  MODEL_RUN_FAILED: {
    kind: "reject",
    exit: 65,
    message: "the model did not run: {reason}",
    help: "Compare the inputs' names, types and shapes with `tidegate model show`.",
  },
} as const satisfies Record<string, ErrorDefinition>;

/** Codes that were raised once and must never get another meaning. */
export const retiredCodes: readonly string[] = [];
