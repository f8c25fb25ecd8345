import { TidegateError } from "../../base/errors.ts";
import { within } from "../../base/lifecycle.ts";
import {
  isVersionRefusal,
  MqttConnection,
  type MqttEnd,
  type MqttOpening,
  type MqttSubscription,
} from "../../drivers/mqtt.ts";
import type { Credentials } from "../../gateway/credentials.ts";
import { endError } from "../../wire/link-errors.ts";
import { brokerAddress, type LinkSettings } from "../../wire/link-options.ts";

export type VisitOptions = {
  readonly settings: LinkSettings;
  readonly credentials: Credentials;
  /** Not the gateway's own: a broker would close the running daemon's connection for it. */
  readonly clientId: string;
  readonly subscriptions: readonly MqttSubscription[];
};

/** What a broker showed of itself. */
export type Visit = {
  readonly version: "5" | "3.1.1";
  readonly opening: MqttOpening;
  /** It remembered the client when it came again. */
  readonly isSessionKept: boolean;
  /** One code for each subscription: 0 and 1 the granted QoS, from 128 on refused; null: no answer. */
  readonly granted: readonly number[] | null;
  /** As the broker names itself under `$SYS`; null: it does not. */
  readonly software: string | null;
};

type Talk<T> = (connection: MqttConnection, opening: MqttOpening) => Promise<T> | T;
type Session = { readonly version: 4 | 5; readonly expirySeconds: number };

const answerTimeoutMs = 5_000;
/** Longest wait for a connection: a person waits for the answer. */
const connectTimeoutMs = 10_000;
/** Brokers that tell their name do so at once: it is a retained message. */
const nameTimeoutMs = 300;
const keptSeconds = 60;
const maxPacket = 1_048_576;
const softwareTopic = "$SYS/broker/version";

/** A connection that ended before it had done what it was for. */
class Ended extends Error {
  readonly end: MqttEnd;
  constructor(end: MqttEnd) {
    super(end.reason);
    this.end = end;
  }
}

/**
 * Visits a broker as a client of its own: to see what it offers, whether it remembers, and to leave nothing behind.
 * Nothing is published.
 *
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED, BROKER_UNTRUSTED, BROKER_PROTOCOL, BROKER_CLOSED, LINK_INVALID
 */
export async function visitBroker(options: VisitOptions): Promise<Visit> {
  try {
    const { version, software } = await introduce(options);
    const visit = <T>(expirySeconds: number, talk: Talk<T>) => connect(options, { version, expirySeconds }, talk);
    const seen = await visit(keptSeconds, async (connection, opening) => ({
      opening,
      granted: await grantedTo(connection, options.subscriptions),
    }));
    const isSessionKept = await visit(keptSeconds, (_, { isSessionPresent }) => isSessionPresent);
    await visit(0, () => {});
    return { version: version === 5 ? "5" : "3.1.1", software, isSessionKept, ...seen };
  } catch (thrown) {
    throw thrown instanceof Ended ? endError(thrown.end, options.settings.url, options.clientId) : thrown;
  }
}

async function grantedTo(connection: MqttConnection, subscriptions: readonly MqttSubscription[]) {
  if (subscriptions.length === 0) return [];
  return within(connection.subscribe(subscriptions), answerTimeoutMs, "the broker").catch(() => null);
}

/** The first connection: which MQTT the broker speaks, and what it calls itself. */
async function introduce(options: VisitOptions): Promise<Pick<Visit, "software"> & { version: 4 | 5 }> {
  const { protocol } = options.settings;
  const first = protocol === "3.1.1" ? 4 : 5;
  try {
    return { version: first, software: await softwareOf(options, first) };
  } catch (thrown) {
    const isOlder = protocol === "auto" && thrown instanceof Ended && isVersionRefusal(thrown.end);
    if (!isOlder) throw thrown;
    return { version: 4, software: await softwareOf(options, 4) };
  }
}

function softwareOf(options: VisitOptions, version: 4 | 5): Promise<string | null> {
  const name = Promise.withResolvers<string>();
  const talk: Talk<string | null> = async (connection) => {
    await within(connection.subscribe([{ topic: softwareTopic, qos: 0, retainHandling: 0 }]), answerTimeoutMs, "");
    return within(name.promise, nameTimeoutMs, "").catch(() => null);
  };
  return connect(options, { version, expirySeconds: 0 }, talk, (topic, payload) => {
    if (topic === softwareTopic) name.resolve(payload.slice(0, 100));
  });
}

/** Connects, talks and leaves. */
async function connect<T>(
  { settings, credentials, clientId }: VisitOptions,
  { version, expirySeconds }: Session,
  talk: Talk<T>,
  onMessage: (topic: string, payload: string) => void = () => {},
): Promise<T> {
  const { host, port, isTls } = brokerAddress(settings.url);
  const { tls, ...user } = credentials;
  const opened = Promise.withResolvers<MqttOpening>();
  const ended = Promise.withResolvers<MqttEnd>();
  const connection = new MqttConnection(
    {
      ...{ host, port, clientId, version, maxPacket, ...user },
      ...(isTls ? { tls: tls ?? {} } : {}),
      sessionExpiry: expirySeconds,
      receiveMaximum: settings.receiveMaximum,
      keepalive: Math.ceil(settings.keepalive / 1000),
      connectTimeoutMs: Math.min(connectTimeoutMs, settings.connectTimeout ?? connectTimeoutMs),
      isAutomatic: true,
    },
    {
      onOpen: (opening) => opened.resolve(opening),
      onMessage: ({ topic, payload }) => {
        onMessage(topic, Buffer.from(payload).toString("utf8"));
        return true;
      },
      onEnd: (end) => {
        opened.reject(new Ended(end));
        ended.resolve(end);
      },
    },
  );
  opened.promise.catch(() => {});
  connection.open();
  try {
    const opening = await within(opened.promise, connectTimeoutMs, `the broker ${settings.url}`);
    return await Promise.race([
      Promise.resolve(talk(connection, opening)),
      ended.promise.then((end): never => {
        throw new Ended(end);
      }),
    ]);
  } catch (thrown) {
    if (!(thrown instanceof TidegateError && thrown.code === "TIMEOUT")) throw thrown;
    const reason = `no answer within ${connectTimeoutMs / 1000} s`;
    throw new TidegateError("BROKER_UNREACHABLE", { url: settings.url, reason }, { cause: thrown });
  } finally {
    connection.close();
    await Promise.race([ended.promise, new Promise((resolve) => setTimeout(resolve, 1_000))]);
    connection.abort("closed", "the visit is over");
  }
}
