import { randomBytes } from "node:crypto";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { within } from "../../base/lifecycle.ts";
import { silentLog } from "../../base/log.ts";
import { readPolicy } from "../../control/policy-text.ts";
import { openKeyRing } from "../../crypto/key-ring.ts";
import {
  type EnrolmentAnswer,
  enrolmentReceiptName,
  openEnrolmentAnswer,
  signEnrolment,
} from "../../federated/enrolment.ts";
import { readCredentials } from "../../gateway/credentials.ts";
import { Link } from "../../wire/link.ts";
import { fleetTopics } from "../../wire/topics.ts";
import { placeFor } from "../keys/place.ts";
import { loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";

export type JoinOptions = { readonly config?: string; readonly token?: string };

const connectMs = 15_000;
const answerMs = 15_000;
const maxPacket = 64 * 1_024;

/**
 * Asks the coordinator to take this gateway in, as a client of its own beside the daemon.
 * @throws TidegateError USAGE, BROKER_UNREACHABLE …, TIMEOUT when no coordinator answers
 */
export async function joinFleet(io: Io, { config: file, token }: JoinOptions): Promise<EnrolmentAnswer> {
  const { config } = loadFor(io, file === undefined ? {} : { config: file });
  const { cloud, gateway, policy } = config;
  if (!cloud)
    throw new TidegateError("USAGE", { detail: "the configuration has no `cloud`: there is no fleet to join" });
  const { fleet, id } = gateway;
  const { signer } = openKeyRing(await placeFor(io, file === undefined ? {} : { config: file }));
  const principals = policy === undefined ? [] : Object.values(readPolicy(policy).principals);
  const trusted = principals.flatMap(({ keys, roles }) => (roles.includes("coordinator") ? keys : []));
  if (trusted.length === 0)
    throw new TidegateError("USAGE", {
      detail: "the policy has no principal with the role coordinator: nothing that leads a fleet is trusted here",
    });
  const topics = fleetTopics(fleet).gateway(id);
  const answered = Promise.withResolvers<EnrolmentAnswer>();
  const link = new Link({
    name: "cloud",
    settings: { ...cloud, sessionExpiry: 0 },
    clientId: `${fleet}-${id}-join-${randomBytes(4).toString("hex")}`,
    credentials: readCredentials(cloud, io.env.CREDENTIALS_DIRECTORY),
    subscriptions: [{ topic: topics.receipt(enrolmentReceiptName), qos: 1, retained: "ignore" }],
    ack: "auto",
    maxPacket,
    onMessage: ({ payload }) => {
      try {
        answered.resolve(openEnrolmentAnswer(payload, { fleet, gateway: id, key: signer.publicKey, trusted }));
      } catch {
        // Of somebody who is not trusted here, or for another request: the right one may still come.
      }
    },
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
  await link.start();
  try {
    await link.online(connectMs);
    await link.publish(topics.enrolment, signEnrolment(fleet, id, signer, token), { qos: 1 });
    return await within(answered.promise, answerMs, "the coordinator");
  } finally {
    await link.stop(2_000);
  }
}
