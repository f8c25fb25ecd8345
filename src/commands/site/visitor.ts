import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { type LoadedConfig, loadConfig } from "../../config/load.ts";
import { readCredentials } from "../../gateway/credentials.ts";
import { Link } from "../../wire/link.ts";
import type { LinkMessage, LinkSubscription } from "../../wire/link-options.ts";
import { configFile, loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";

/** Options of a verb that talks to the site's broker itself. */
export type VisitorOptions = { readonly config?: string; readonly broker?: string };

/** `--broker`, for verbs that also work where there is no configuration yet. */
export const brokerOption = ["--broker <url>", "the site's broker (default: the configuration's)"] as const;

const maxPacket = 64 * 2 ** 20;
const connectMs = 15_000;

/** The configuration; one made up for the broker alone when the command line names that and there is no file. */
export function loadForVisit(io: Io, { config, broker }: VisitorOptions): LoadedConfig {
  const file = configFile(io, config === undefined ? {} : { config });
  const flags = { "sensors.url": broker };
  if (config !== undefined || broker === undefined || existsSync(file))
    return loadFor(io, config === undefined ? {} : { config }, flags);
  return loadConfig({ text: "version: 1\n", env: {}, flags: { ...flags, "gateway.id": "visitor" } });
}

export type Visit = {
  readonly link: Link;
  /** Leaves the broker without a trace. */
  leave(): Promise<void>;
};

/**
 * Connects to the site's broker as a client of its own, which the broker forgets when it leaves.
 *
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED …, SECRET_UNREADABLE
 */
export async function visitSite(
  io: Io,
  { config }: LoadedConfig,
  subscriptions: readonly LinkSubscription[],
  onMessage: (message: LinkMessage) => void,
): Promise<Visit> {
  const link = new Link({
    name: "site",
    settings: { ...config.sensors, sessionExpiry: 0 },
    clientId: `${config.gateway.id}-visit-${randomBytes(4).toString("hex")}`,
    credentials: readCredentials(config.sensors, io.env.CREDENTIALS_DIRECTORY),
    subscriptions,
    ack: "auto",
    maxPacket,
    onMessage,
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
  await link.start();
  const leave = () => link.stop(5_000);
  try {
    await link.online(Math.min(connectMs, config.sensors.connectTimeout));
  } catch (thrown) {
    await leave();
    throw thrown;
  }
  return { link, leave };
}
