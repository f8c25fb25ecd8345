import type { ErrorDefinition } from "./errors.ts";

/** Errors on the way of a reading: models, payloads, windows, the journal. `errorTable` has them all. */
export const dataErrors = {
  // recordings
  RECORDING_INVALID: {
    kind: "reject",
    exit: 65,
    message: "{file}, line {line}: {reason}",
    help: "A recording is CSV with a header line, or one JSON object a line; `tidegate replay --help` and `tidegate try --help` show both.",
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

  // inference
  CARD_INVALID: {
    kind: "reject",
    exit: 65,
    message: "{file} has faults: {reason}",
    help: "Mend what is named; `tidegate model new` writes a card to start from.",
  },
  MODEL_MISSING: {
    kind: "config",
    exit: 78,
    message: "there is no model {model} in {dirs}",
    help: "`tidegate model ls` lists the models that are there.",
  },
  MODEL_UNBOUND: {
    kind: "config",
    exit: 78,
    message: "stream {stream} does not fit model {model}: {reason}",
    help: "Compare the stream's fields and window with `tidegate model show {model}`.",
  },
  MODEL_CONTRADICTS_CARD: {
    kind: "reject",
    exit: 65,
    message: "model {model} contradicts its card: {reason}",
    help: "Mend the card, or export the model again: `tidegate model show` prints both sides.",
  },
  MODEL_HASH_MISMATCH: {
    kind: "reject",
    exit: 65,
    message: "{file} is not the model that was checked: its hash is {actual}, not {expected}",
    help: "Replace bundles as a whole, by renaming a finished folder into place.",
  },
  MODEL_DISABLED: {
    kind: "retry",
    exit: 69,
    message: "model {model} version {version} is disabled: {reason}",
    help: "It is tried again by itself; `tidegate model verify {model}` tells what is wrong with it.",
  },
  MODEL_VERSION_TAKEN: {
    kind: "reject",
    exit: 65,
    message: "model {model} has changed but is still called version {version}, which is running",
    help: "Give the changed bundle a version of its own in its card: results name the version that made them.",
  },
  GOLDEN_FAILED: {
    kind: "reject",
    exit: 65,
    message: "model {model} does not give the results its golden samples ask for: {reason}",
    help: "Do not use this bundle: model, preprocessing or runtime differ from those it was made with.",
  },
  MANIFEST_INVALID: {
    kind: "reject",
    exit: 65,
    message: "the manifest is not valid: {reason}",
    help: "Make it with `tidegate model push`; a manifest of a newer Tidegate needs that version here.",
  },
  BLOB_DAMAGED: {
    kind: "reject",
    exit: 65,
    message: "{what} is damaged: {reason}",
    help: "Push the model again: what lies on the broker or at its URL is not what was signed.",
  },
  BLOB_MISSING: {
    kind: "retry",
    exit: 69,
    message: "{what} has not come: {reason}",
    help: "Push the model again if its chunks are gone from the broker; what has come is kept, and it goes on from there.",
  },
  ROLLOUT_UNDER_WAY: {
    kind: "reject",
    exit: 75,
    message: "version {version} of {model} is being rolled out",
    help: "Wait until it is done, or end it with `tidegate fleet rollout halt {model}`.",
  },
  ROLLOUT_ABSENT: {
    kind: "reject",
    exit: 65,
    message: "there is no rollout of {model}",
    help: "`tidegate fleet rollout start DIR` begins one; `tidegate fleet status` lists them.",
  },

  // ingest
  PAYLOAD_MALFORMED: {
    kind: "reject",
    exit: 65,
    message: "the payload is not readable as {codec}: {reason}",
    help: "Compare what the sensor sends with the stream's `codec`: `tidegate dead show` prints the payload.",
  },
  PAYLOAD_ENCODING: {
    kind: "reject",
    exit: 65,
    message: "the payload is not valid UTF-8",
    help: "Let the sensor send UTF-8, or choose another `codec`.",
  },
  PAYLOAD_TOO_LARGE: {
    kind: "reject",
    exit: 65,
    message: "the payload has {actual} {unit}, more than the {limit} that the stream takes",
    help: "Raise the stream's `maxPayload`, or let the sensor send smaller pieces.",
  },
  PAYLOAD_TOO_DEEP: {
    kind: "reject",
    exit: 65,
    message: "the payload is nested deeper than {limit} levels",
    help: "Let the sensor send a flatter payload.",
  },
  PAYLOAD_TYPE: {
    kind: "reject",
    exit: 65,
    message: "field {field}: expected {expected}, got {actual}",
    help: "Mend the stream's `fields`: a text needs a `map`, a number in quotes needs `numericStrings: true`.",
  },
  PAYLOAD_TIMESTAMP: {
    kind: "reject",
    exit: 65,
    message: "the timestamp is not {expected}: {actual}",
    help: "Mend the stream's `timestamp`: `path` and `unit` (ms, s, iso8601 or auto).",
  },
  TOPIC_UNKNOWN: {
    kind: "reject",
    exit: 65,
    message: "no stream takes this topic",
    help: "Compare the topic with the `topic` patterns of the streams.",
  },
  TOPIC_UNUSABLE: {
    kind: "reject",
    exit: 65,
    message: "the topic cannot stand for a source: {reason}",
    help: "Let the sensor publish under a topic without control characters, at most 1,024 characters long.",
  },
  SOURCES_TOO_MANY: {
    kind: "reject",
    exit: 65,
    message: "stream {stream} has {limit} sources already: this one is not taken",
    help: "Narrow the stream's `topic`, or raise its `maxSources`.",
  },
  CODEC_INVALID: {
    kind: "config",
    exit: 78,
    message: "{what}: {reason}",
    help: "Mend the stream's `codec`, `fields` or `timestamp`.",
  },

  // preprocess
  PREPROCESS_INVALID: {
    kind: "config",
    exit: 78,
    message: "{what}: {reason}",
    help: "Mend the stream's `clean`, `transform`, `every` or `window`.",
  },
  SNAPSHOT_UNUSABLE: {
    kind: "corrupt",
    exit: 65,
    message: "the saved state of a stream cannot be used: {reason}",
    help: "Nothing to do: windows and statistics are rebuilt from the journal.",
  },

  // buffer
  PIECE_CORRUPT: {
    kind: "corrupt",
    exit: 65,
    message: "a piece of the journal is damaged: {reason}",
    help: "It is set apart and counted; the readings in it are lost, the others are not touched. Check the medium.",
  },
  DATA_DIR_IN_USE: {
    kind: "retry",
    exit: 75,
    message: "{dir} is in use by another Tidegate",
    help: "Stop the other one first (`systemctl stop tidegate`), or give each its own gateway.dataDir.",
  },
  JOURNAL_ABSENT: {
    kind: "config",
    exit: 69,
    message: "there is no journal in {dir}: {file} is missing",
    help: "Name the configuration that the daemon runs with (`--config`); a journal begins with the first `tidegate run`.",
  },
  DEAD_LETTER_ABSENT: {
    kind: "reject",
    exit: 65,
    message: "there is no dead letter {id}",
    help: "`tidegate dead ls` lists those that there are: the oldest go when there are too many.",
  },
  STORAGE_FAILED: {
    kind: "retry",
    exit: 74,
    message: "the journal could not be written: {reason}",
    help: "Look at the disk: `tidegate check` tells whether it is full, read-only or failing.",
  },
  STORAGE_UNREADABLE: {
    kind: "corrupt",
    exit: 74,
    message: "{file} cannot be opened: {reason}",
    help: "state.db is never set aside by itself: restore it from a backup, or start on an empty data directory.",
  },
} as const satisfies Record<string, ErrorDefinition>;
