import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import { compilePattern } from "../ingest/topic-pattern.ts";
import { Link } from "../wire/link.ts";
import type { LinkOptions, LinkSubscription } from "../wire/link-options.ts";
import { fleetTopics, siteTopics } from "../wire/topics.ts";
import { readCredentials } from "./credentials.ts";

export type LinkParts = {
  readonly config: Config;
  readonly version: string;
  readonly fingerprint: string;
  readonly credentialsDir?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
};

type Wiring = Pick<LinkOptions, "onMessage"> & Pick<LinkOptions, "onState" | "former" | "expectsSession">;

/** Larger packets than any stream takes are refused by the broker already, where it speaks MQTT 5. */
const packetRoom = 65_536;

/** What the streams subscribe on the site's broker: one filter each, the strictest of those that share one. */
export function siteSubscriptions(config: Config): LinkSubscription[] {
  const byFilter = new Map<string, LinkSubscription>();
  for (const { topic, exclude, qos, retained } of Object.values(config.streams)) {
    const { filter } = compilePattern(topic, exclude);
    const other = byFilter.get(filter);
    byFilter.set(filter, {
      topic: filter,
      qos: other?.qos === 1 ? 1 : qos,
      retained: other?.retained === "first" ? "first" : retained,
    });
  }
  return [...byFilter.values()];
}

export const siteFilters = (config: Config): string[] => siteSubscriptions(config).map(({ topic }) => topic);

const filtersName = "site/filters";

/** What the daemon subscribed in its last life: the broker's session holds it, wanted or not. */
export async function formerFilters(journal: Journal): Promise<string[]> {
  const saved = await journal.stateGet(filtersName);
  return saved ? (JSON.parse(Buffer.from(saved).toString("utf8")) as string[]) : [];
}

/** @param filters  everything that the broker's session may hold */
export async function rememberFilters(journal: Journal, filters: readonly string[]): Promise<void> {
  await journal.statePut(filtersName, Buffer.from(JSON.stringify([...new Set(filters)])));
}

const siteClientId = ({ config, fingerprint }: LinkParts): string =>
  config.sensors.clientId ?? `${config.gateway.fleet}-${config.gateway.id}-site-${fingerprint.slice(0, 8)}`;

/** The link to the site's broker: gated, since what it acknowledges has to be on disk. */
export function siteLink(parts: LinkParts, wiring: Wiring): Link {
  const { config, version, credentialsDir, clock, log } = parts;
  const { id } = config.gateway;
  const { status, prefix } = siteTopics(id);
  const state = (value: string) => JSON.stringify({ state: value, version });
  const largest = Math.max(65_536, ...Object.values(config.streams).map(({ maxPayload }) => maxPayload));
  return new Link({
    name: "site",
    settings: config.sensors,
    clientId: siteClientId(parts),
    credentials: readCredentials(config.sensors, credentialsDir),
    will: { topic: status, payload: state("offline") },
    birth: () => ({ topic: status, payload: state("online") }),
    farewell: { topic: status, payload: state("offline") },
    subscriptions: siteSubscriptions(config),
    ownPrefix: prefix,
    ack: "gated",
    maxPacket: largest + packetRoom,
    random: Math.random,
    clock,
    log,
    ...wiring,
  });
}

/** The link to the cloud's broker. `facts`: what the status document says besides state and version. */
export function cloudLink(
  parts: LinkParts,
  { facts, ...wiring }: Wiring & Pick<LinkOptions, "subscriptions"> & { facts(): Record<string, unknown> },
): Link {
  const { config, version, fingerprint, credentialsDir, clock, log } = parts;
  const { cloud } = config;
  if (!cloud) throw new TidegateError("BUG", { detail: "a link to a cloud that is not configured" });
  const { id, fleet } = config.gateway;
  const { status: topic } = fleetTopics(fleet).gateway(id);
  const offline = { topic, payload: JSON.stringify({ state: "offline", version }) };
  return new Link({
    name: "cloud",
    settings: cloud,
    clientId: cloud.clientId ?? `${fleet}-${id}-cloud-${fingerprint.slice(0, 8)}`,
    credentials: readCredentials(cloud, credentialsDir),
    will: offline,
    birth: () => ({ topic, payload: JSON.stringify({ state: "online", version, ...facts() }) }),
    farewell: offline,
    ack: "auto",
    maxPacket: 262_144,
    random: Math.random,
    clock,
    log,
    ...wiring,
  });
}

/** Another link to the site's broker, by which results go: it subscribes nothing, and the broker keeps nothing for it. */
export function resultsLink(parts: LinkParts, onState: () => void): Link {
  const { config, credentialsDir, clock, log } = parts;
  return new Link({
    name: "results",
    settings: { ...config.sensors, sessionExpiry: 0 },
    clientId: `${siteClientId(parts)}-results`,
    credentials: readCredentials(config.sensors, credentialsDir),
    subscriptions: [],
    ack: "auto",
    maxPacket: packetRoom,
    random: Math.random,
    onMessage: () => {},
    onState,
    clock,
    log,
  });
}
