import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { TidegateError } from "../../base/errors.ts";
import { type LoadedConfig, loadConfig } from "../../config/load.ts";
import type { LinkMessage, LinkSubscription } from "../../wire/link-options.ts";
import { configFile, loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";
import { openVisit, type Visit } from "../visiting-link.ts";

/** Options of a verb that an operator speaks to gateways with, through the cloud's broker. */
export type OperatorOptions = {
  readonly config?: string;
  readonly broker?: string;
  readonly fleet?: string;
  readonly to: readonly string[];
  readonly key: readonly string[];
};

export const operatorOptions = {
  to: ["--to <gateways...>", "ids of the gateways"],
  key: ["--key <files...>", "signing keys of those who sign (`keys new` makes one: <folder>/keys/signing.key)"],
  broker: ["--broker <url>", "the cloud's broker (default: `cloud` of the configuration)"],
  fleet: ["--fleet <fleet>", "fleet of the gateways (default: that of the configuration)"],
} as const;

const maxPacket = 1 << 20;

/** The configuration that broker and fleet come from; one made up where the command line says both. */
export function loadForOperator(io: Io, { config, broker, fleet }: OperatorOptions): LoadedConfig {
  const file = configFile(io, config === undefined ? {} : { config });
  const flags = { "cloud.url": broker, "gateway.fleet": fleet };
  const loaded =
    config !== undefined || broker === undefined || existsSync(file)
      ? loadFor(io, config === undefined ? {} : { config }, flags)
      : loadConfig({
          text: "version: 1\nsensors: { url: mqtt://127.0.0.1 }\n",
          env: {},
          flags: { ...flags, "gateway.id": "operator" },
        });
  if (!loaded.config.cloud) throw new TidegateError("USAGE", { detail: "no cloud's broker is known: give --broker" });
  return loaded;
}

/**
 * Connects to the cloud's broker as an operator, whom the broker forgets afterwards.
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED …, SECRET_UNREADABLE
 */
export async function visitCloud(
  io: Io,
  { config }: LoadedConfig,
  subscriptions: readonly LinkSubscription[],
  onMessage: (message: LinkMessage) => void,
): Promise<Visit> {
  const { cloud } = config;
  if (!cloud) throw new TidegateError("USAGE", { detail: "no cloud's broker is known: give --broker" });
  const clientId = `operator-${randomBytes(6).toString("hex")}`;
  return openVisit(io, { name: "cloud", settings: cloud, clientId, maxPacket, subscriptions, onMessage });
}
