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

  // config
  CONFIG_INVALID: {
    kind: "config",
    exit: 78,
    message: "{file} has {count} fault(s)",
    help: "Mend what is listed; `tidegate config schema` and docs/reference/configuration.md name every key.",
  },
  CONFIG_MISSING: {
    kind: "config",
    exit: 78,
    message: "there is no configuration file {file}",
    help: "`tidegate init` writes one for this device; `--config FILE` names another.",
  },
  PROFILE_INVALID: {
    kind: "config",
    exit: 78,
    message: "device profile {name} cannot be used: {reason}",
    help: "Set gateway.profile to one of the files in device-profiles/, or to auto.",
  },
  SYSTEM_UNSUPPORTED: {
    kind: "config",
    exit: 78,
    message: "a 64-bit system is needed (x86-64 or arm64); this one is {arch}",
    help: "On a Raspberry Pi install the 64-bit Raspberry Pi OS.",
  },

  SECRET_UNREADABLE: {
    kind: "config",
    exit: 77,
    message: "the secret {file} cannot be read: {reason}",
    help: "It must be readable for the user that runs Tidegate; under systemd use LoadCredential.",
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

  // wire
  BROKER_NOT_STARTED: {
    kind: "retry",
    exit: 69,
    message: "the embedded broker cannot listen on port {port}: {reason}",
    help: "Another program has the port: choose another, or 0 for any.",
  },
  BROKER_UNREACHABLE: {
    kind: "retry",
    exit: 69,
    message: "no connection to the broker {url}: {reason}",
    help: "Check the address and that the broker listens there; the connection is tried again by itself.",
  },
  BROKER_REFUSED: {
    kind: "retry",
    exit: 69,
    message: "the broker {url} refused client {clientId}: {reason}",
    help: "Check `username`, `passwordFile` and `clientId` of this link, and what the broker allows this user.",
  },
  BROKER_UNTRUSTED: {
    kind: "retry",
    exit: 69,
    message: "no secure connection to the broker {url}: {reason}",
    help: "Check `tls.ca`, `tls.cert`, `tls.key` and `tls.servername` of this link, and this machine's clock.",
  },
  BROKER_PROTOCOL: {
    kind: "retry",
    exit: 69,
    message: "what answers at {url} does not keep to MQTT: {reason}",
    help: "Check that the port is the broker's MQTT port, and that `mqtt://` and `mqtts://` are not mixed up.",
  },
  BROKER_CLOSED: {
    kind: "retry",
    exit: 69,
    message: "the broker {url} closed the connection: {reason}",
    help: "The connection is tried again by itself; the broker's log tells why.",
  },
  CLIENT_ID_TAKEN: {
    kind: "retry",
    exit: 69,
    message: "the broker {url} closes every connection of client {clientId} right away",
    help: "A second client with this id is likely: give each gateway its own `gateway.id`, or set `clientId`.",
  },
  LINK_DOWN: {
    kind: "retry",
    exit: 69,
    message: "there is no connection to the broker",
    help: "It is tried again by itself; `tidegate check` tells what is wrong. Messages of QoS 0 are not kept for later.",
  },
  OUTGOING_FULL: {
    kind: "shed",
    exit: 75,
    message: "{limit} messages wait for the broker already: this one is not taken",
    help: "Look at the broker: `tidegate status` tells whether it answers.",
  },
  LINK_INVALID: {
    kind: "config",
    exit: 78,
    message: "link {name}: {reason}",
    help: "Mend the link's `url`, `protocol` or `tls` in the configuration.",
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
  INTAKE_FULL: {
    kind: "shed",
    exit: 75,
    message: "stream {stream} has {limit} readings that wait for the disk: this one is not taken",
    help: "Look at the disk: `tidegate check` tells how long it takes.",
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

  // batches
  BATCH_INVALID: {
    kind: "reject",
    exit: 65,
    message: "a batch cannot be read: {reason}",
    help: "It is set aside. docs/batch-format.md describes what is read; gateway and sink should be of the same release.",
  },
  BATCH_UNTRUSTED: {
    kind: "deny",
    exit: 65,
    message: "a batch says that it comes from gateway {gateway}, but {reason}",
    help: "Compare the gateway's `tidegate keys show` with what `tidegate keys trust` names here.",
  },
  BATCH_SEALED: {
    kind: "reject",
    exit: 65,
    message: "a batch of gateway {gateway} is sealed for the key {to}, which is not here",
    help: "Give this sink the key that `cloud.dataKey` names on the gateway, or change that to this sink's key.",
  },
  RECEIPT_INVALID: {
    kind: "reject",
    exit: 65,
    message: "a receipt cannot be read: {reason}",
    help: "Nothing to do: what it was for is sent again. Look for others that may publish on the receipts topic.",
  },

  // crypto
  KEY_WEAK: {
    kind: "deny",
    exit: 78,
    message: "{what} is not a usable key",
    help: "Make a new one: `tidegate keys new`.",
  },
  KEY_WRONG: {
    kind: "config",
    exit: 78,
    message: "the data in this directory were not written with {what} that is here",
    help: "Put the right key back (`tidegate keys restore`), or start on an empty data directory.",
  },
  KEY_DESTROYED: {
    kind: "corrupt",
    exit: 65,
    message: "the key of stream {stream}, epoch {epoch} was destroyed: its readings are erased",
    help: "Nothing can bring them back; a backup of the readings elsewhere can be replayed.",
  },
  KEY_MISSING: {
    kind: "config",
    exit: 78,
    message: "{dir} has data but not the key to it: {file} is missing",
    help: "Put the key back (`tidegate keys restore`), or start on an empty data directory.",
  },
  KEY_UNREADABLE: {
    kind: "config",
    exit: 77,
    message: "the key {file} may not be used: {reason}",
    help: "It must belong to the user that runs Tidegate, with mode 0600.",
  },
  KEY_DAMAGED: {
    kind: "config",
    exit: 78,
    message: "the key {file} is damaged: {reason}",
    help: "Put it back from a backup: `tidegate keys restore`.",
  },
  KEY_UNWRITABLE: {
    kind: "config",
    exit: 74,
    message: "the key {file} cannot be written: {reason}",
    help: "The data directory must be writable for the user that runs Tidegate.",
  },
  KEY_PRESENT: {
    kind: "config",
    exit: 78,
    message: "{dir} has other keys already ({names}): none is replaced",
    help: "Restore into an empty data directory, or move the keys that are there away first.",
  },
  BACKUP_UNREADABLE: {
    kind: "reject",
    exit: 65,
    message: "the backup of the keys cannot be opened: {reason}",
    help: "Use the file that `tidegate keys backup` wrote, and the passphrase it was given.",
  },
  ENVELOPE_INVALID: {
    kind: "reject",
    exit: 65,
    message: "a signed document is malformed: {reason}",
    help: "Sign it again with the Tidegate that is to read it, or a newer one.",
  },
  SIGNATURE_MISSING: {
    kind: "deny",
    exit: 65,
    message: "a document ({what}) is not signed by those who must: {reason}",
    help: "`tidegate keys trust` names the keys that are trusted.",
  },

  // ops
  CONTROL_UNAVAILABLE: {
    kind: "retry",
    exit: 69,
    message: "no daemon answers at {socket}: {reason}",
    help: "Start it (`systemctl start tidegate`, or `tidegate run`), or name the `--config` that it runs with.",
  },
  CONTROL_DENIED: {
    kind: "deny",
    exit: 69,
    message: "this user may not talk to the daemon at {socket}",
    help: "Join the group of the socket (`sudo usermod -aG tidegate $USER`, then log in anew), or use sudo.",
  },
  CONTROL_MALFORMED: {
    kind: "reject",
    exit: 65,
    message: "the conversation with the daemon cannot be understood: {reason}",
    help: "Use a client of the daemon's version: `tidegate --version`.",
  },
  CONTROL_UNKNOWN: {
    kind: "reject",
    exit: 64,
    message: "the daemon knows no {method}",
    help: "Use a client of the daemon's version, and restart the daemon after an update.",
  },
  CONTROL_BUSY: {
    kind: "shed",
    exit: 75,
    message: "the daemon serves {limit} {what} already",
    help: "Try again when other commands are done.",
  },
  SOCKET_IN_USE: {
    kind: "config",
    exit: 75,
    message: "another daemon listens at {socket}",
    help: "Stop it, or give this one another `dataDir` and `control.socket`.",
  },
  SOCKET_UNUSABLE: {
    kind: "config",
    exit: 78,
    message: "the socket {socket} cannot be used: {reason}",
    help: "Mend `control.socket`: its folder must exist and be writable, its path have at most 107 bytes.",
  },
  ADDRESS_IN_USE: {
    kind: "config",
    exit: 75,
    message: "something listens at {address} already",
    help: "Stop it, or choose another `dashboard.listen`.",
  },
  ADDRESS_UNUSABLE: {
    kind: "config",
    exit: 78,
    message: "cannot listen at {address}: {reason}",
    help: "Mend `dashboard.listen`: an address of this machine and a port, for example 127.0.0.1:8420.",
  },
} as const satisfies Record<string, ErrorDefinition>;

/** Codes that were raised once and must never get another meaning. */
export const retiredCodes: readonly string[] = [];
