import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { BrokerTls } from "../drivers/broker-socket.ts";
import type { BackoffLimits } from "./backoff.ts";
import type { Repeat } from "./link-redelivery.ts";

/**
 * Which retained messages are taken. `first`: those that are there when the subscription is new, unless they are the one
 * that was taken last; `each`: with every connection, for documents that are recognised by what they say.
 */
export type RetainedRule = "ignore" | "first" | "each";

/** An MQTT filter that is to be subscribed. */
export type LinkSubscription = { readonly topic: string; readonly qos: 0 | 1; readonly retained: RetainedRule };

/** A message from the broker. It and its payload are valid during the call only: copy what is to be kept. */
export type LinkMessage = {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly repeat: Repeat;
};

/** What a broker's section of the configuration says. `LinkConfig` of config fits. */
export type LinkSettings = {
  readonly url: string;
  readonly clientId?: string | undefined;
  readonly protocol: "auto" | "5" | "3.1.1";
  readonly receiveMaximum: number;
  /** ms */
  readonly sessionExpiry: number;
  /** ms */
  readonly keepalive: number;
  /** Until the broker has answered a connection or a subscription, ms; 10 s when absent. */
  readonly connectTimeout?: number;
};

export type LinkOptions = {
  /** "site" or "cloud": for logs and metrics. */
  readonly name: string;
  readonly settings: LinkSettings;
  readonly clientId: string;
  readonly credentials: { readonly username?: string; readonly password?: string; readonly tls?: BrokerTls };
  /** Published by the broker, retained, when the connection breaks. */
  readonly will?: { readonly topic: string; readonly payload: string };
  /** Published, retained, after every subscription was granted. */
  birth?(): { readonly topic: string; readonly payload: string };
  /** Published, retained, before a connection is closed on purpose. */
  readonly farewell?: { readonly topic: string; readonly payload: string };
  readonly subscriptions: readonly LinkSubscription[];
  /** Filters that an earlier life of this client subscribed, and that the broker may remember. */
  readonly former?: readonly string[];
  /** The broker is expected to have kept a session from an earlier life. */
  readonly expectsSession?: boolean;
  /** `gated`: QoS 1 is acknowledged by `release`; `auto`: at once. */
  readonly ack: "gated" | "auto";
  /** Largest packet that is taken, bytes. */
  readonly maxPacket: number;
  /** Messages to topics that begin with it are acknowledged and dropped: what this gateway published itself. */
  readonly ownPrefix?: string;
  /** Pauses between attempts; 1 s to 60 s when absent. */
  readonly backoff?: BackoffLimits;
  /** Must not throw; what it throws is logged and the message counts as taken. */
  onMessage(message: LinkMessage): void;
  onState?(state: "online" | "offline", reason: string): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
};

const tlsByScheme: Readonly<Record<string, boolean>> = {
  "mqtt:": false,
  "tcp:": false,
  "mqtts:": true,
  "ssl:": true,
  "tls:": true,
};

/**
 * Where a broker is, from its URL: `mqtt://` (port 1883) or `mqtts://` (8883); `tcp`, `ssl` and `tls` mean the same.
 *
 * @throws TidegateError LINK_INVALID when it is no such URL
 */
export function brokerAddress(url: string, name = "broker"): { host: string; port: number; isTls: boolean } {
  const parsed = URL.parse(url);
  const isTls = parsed === null ? undefined : tlsByScheme[parsed.protocol];
  if (parsed === null || isTls === undefined || parsed.hostname === "")
    throw new TidegateError("LINK_INVALID", { name, reason: `${url} is not mqtt://host:port or mqtts://host:port` });
  const { hostname, port } = parsed;
  return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (isTls ? 8883 : 1883)), isTls };
}
