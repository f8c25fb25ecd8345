import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { type LoadedConfig, loadConfig } from "../../config/load.ts";
import type { LinkMessage, LinkSubscription } from "../../wire/link-options.ts";
import { configFile, loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";
import { openVisit, type Visit } from "../visiting-link.ts";

/** Options of a verb that talks to the site's broker itself. */
export type VisitorOptions = { readonly config?: string; readonly broker?: string };

/** `--broker`, for verbs that also work where there is no configuration yet. */
export const brokerOption = ["--broker <url>", "the site's broker (default: the configuration's)"] as const;

const maxPacket = 64 * 2 ** 20;

/** The configuration; one made up for the broker alone when the command line names that and there is no file. */
export function loadForVisit(io: Io, { config, broker }: VisitorOptions): LoadedConfig {
  const file = configFile(io, config === undefined ? {} : { config });
  const flags = { "sensors.url": broker };
  if (config !== undefined || broker === undefined || existsSync(file))
    return loadFor(io, config === undefined ? {} : { config }, flags);
  return loadConfig({ text: "version: 1\n", env: {}, flags: { ...flags, "gateway.id": "visitor" } });
}

/**
 * Connects to the site's broker as a client of its own, which the broker forgets when it leaves.
 *
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED …, SECRET_UNREADABLE
 */
export const visitSite = (
  io: Io,
  { config }: LoadedConfig,
  subscriptions: readonly LinkSubscription[],
  onMessage: (message: LinkMessage) => void,
): Promise<Visit> => {
  const clientId = `${config.gateway.id}-visit-${randomBytes(4).toString("hex")}`;
  return openVisit(io, { name: "site", settings: config.sensors, clientId, maxPacket, subscriptions, onMessage });
};
