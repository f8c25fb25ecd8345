import { dataErrors } from "./error-rows-data.ts";
import { fleetErrors } from "./error-rows-fleet.ts";
import { trainingErrors } from "./error-rows-training.ts";
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
  CONFIG_PRESENT: {
    kind: "config",
    exit: 78,
    message: "there is a configuration already: {file}",
    help: "It stays as it is. Change it by hand, move it away, or give `--dir` another folder.",
  },
  CONFIG_UNWRITABLE: {
    kind: "config",
    exit: 74,
    message: "the configuration {file} cannot be written: {reason}",
    help: "Give `--dir` a folder that this user may write in.",
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
  OUTPUT_REFUSED: {
    kind: "retry",
    exit: 69,
    message: "{output} does not take the lines (reason {reason})",
    help: "Reason 16 means that nobody has subscribed there; from 128 on look at the broker's access rules.",
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
  PASSPHRASE_MISSING: {
    kind: "config",
    exit: 78,
    message: "the keys in {file} lie under a passphrase, and none was given",
    help: "Name a file with it in TIDEGATE_PASSPHRASE_FILE, hand it over as the unit's credential `passphrase`, or start at a terminal, which asks for it.",
  },
  PASSPHRASE_WRONG: {
    kind: "config",
    exit: 78,
    message: "the passphrase does not open the keys in {file}",
    help: "Give the one that they were sealed with; only a backup (`tidegate keys restore`) helps when it is lost.",
  },
  MACHINE_CHANGED: {
    kind: "config",
    exit: 78,
    message: "the keys and data in {dir} belong to another device: its {what} differs",
    help: "A copied card must not run twice: give this device keys and a gateway.id of its own (`tidegate init` on an empty data directory). Only if it replaces the first device, which never runs again: `tidegate keys adopt`.",
  },
  KEY_PRESENT: {
    kind: "config",
    exit: 78,
    message: "{dir} has other keys already ({names}): none is replaced",
    help: "Restore into an empty data directory, or move the keys that are there away first.",
  },
  KEYS_ABSENT: {
    kind: "config",
    exit: 78,
    message: "there is no key {file}",
    help: "`tidegate keys new` makes the keys of an empty data directory, `tidegate keys restore` puts those of a backup there.",
  },
  FILE_UNWRITABLE: {
    kind: "config",
    exit: 74,
    message: "cannot write {file}: {reason}",
    help: "Check that its folder exists and that this user may write there.",
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

  // control
  DOCUMENT_REFUSED: {
    kind: "deny",
    exit: 65,
    message: "a signed document ({what}) was refused: {reason}",
    help: "`tidegate audit ls` at the gateway tells more; `tidegate policy test` explains what the policy allows.",
  },
  POLICY_INVALID: {
    kind: "config",
    exit: 78,
    message: "the policy {file} has {count} fault(s)",
    help: "Mend what is listed; docs/guides/policy.md shows a policy.",
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

  ...dataErrors,
  ...trainingErrors,
  ...fleetErrors,
} as const satisfies Record<string, ErrorDefinition>;

/** Codes that were raised once and must never get another meaning. */
export const retiredCodes: readonly string[] = [];
