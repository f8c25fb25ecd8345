import type { ErrorDefinition } from "./errors.ts";

/** Errors of a fleet that learns together: rounds, updates, members. `errorTable` has them all. */
export const fleetErrors = {
  ROUND_INVALID: {
    kind: "reject",
    exit: 65,
    message: "the document of a round cannot be used: {reason}",
    help: "Gateway and coordinator should be of the same release; `tidegate fleet status` shows the open rounds.",
  },
  UPDATE_INVALID: {
    kind: "reject",
    exit: 65,
    message: "an update cannot be read: {reason}",
    help: "It is left out, and its gateway is told so. Gateway and coordinator should be of the same release.",
  },
  UPDATE_UNSENDABLE: {
    kind: "reject",
    exit: 65,
    message: "what was learned cannot be sent: {reason}",
    help: "The training went astray: try a smaller learning rate, or `clipNorm`, and look for extreme values in the data.",
  },
  AGGREGATION_REFUSED: {
    kind: "config",
    exit: 78,
    message: "strategy {strategy} with rule {rule} cannot be used: {reason}",
    help: "Change the fleet's `strategy`, `rule` or `codec` as the reason says: the rule `mean` goes with every codec.",
  },
  BASE_MISSING: {
    kind: "retry",
    exit: 69,
    message: "the weights that a round of {model} begins with are not here ({hash})",
    help: "They come with the round or with a model update; `tidegate fleet status` shows which version the fleet is on.",
  },
  CODEC_REFUSED: {
    kind: "reject",
    exit: 65,
    message: "updates cannot be written as the round asks for: {reason}",
    help: "Coordinator and gateways must know the same codecs: update the older one, or choose another `codec` for the rounds.",
  },
  UPDATE_UNTRUSTED: {
    kind: "deny",
    exit: 65,
    message: "an update says that it comes from gateway {gateway}, but {reason}",
    help: "`tidegate fleet status` lists the members and their keys; `tidegate fleet enroll` takes one in.",
  },
  COORDINATOR_FENCED: {
    kind: "deny",
    exit: 75,
    message: "another coordinator has taken over (epoch {newer}, this one has {epoch})",
    help: "Run one coordinator on a fleet. Stop this one, or the other, and start the one that is to lead anew.",
  },
  COORDINATOR_IDLE: {
    kind: "retry",
    exit: 75,
    message: "this coordinator does not lead its fleet now: it is {role}",
    help: "Ask the one that leads (`tidegate fleet status` names it), or wait until the broker is back.",
  },
  COORDINATOR_BEHIND: {
    kind: "config",
    exit: 78,
    message: "this coordinator is behind its fleet: {reason}",
    help: "It was restored from an old backup, or another one leads the fleet. Restore its newest data; if they are lost, `tidegate coordinator --take-over` begins anew from the versions that are here.",
  },
  ROUND_ABSENT: {
    kind: "reject",
    exit: 65,
    message: "there is no {what}",
    help: "`tidegate fleet status` lists models, rounds and members.",
  },
  ENROLMENT_REFUSED: {
    kind: "deny",
    exit: 65,
    message: "gateway {gateway} is not taken into the fleet: {reason}",
    help: "`tidegate fleet enroll --token` makes a new token; `tidegate keys show` on the gateway prints its key.",
  },
} as const satisfies Record<string, ErrorDefinition>;
