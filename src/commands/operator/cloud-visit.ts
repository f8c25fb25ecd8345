import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import { silentLog } from "../../base/log.ts";
import { type LoadedConfig, loadConfig } from "../../config/load.ts";
import { readCredentials } from "../../gateway/credentials.ts";
import { Link } from "../../wire/link.ts";
import type { LinkMessage, LinkSubscription } from "../../wire/link-options.ts";
import { configFile, loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";

/** Options of a verb with which an operator talks to a fleet over the cloud's broker. */
export type CloudVisitOptions = { readonly config?: string; readonly broker?: string; readonly fleet?: string };

export const cloudBrokerOption = ["--broker <url>", "the cloud's broker (default: the configuration's)"] as const;
export const fleetOption = ["--fleet <fleet>", "the fleet (default: the configuration's)"] as const;

const maxPacket = 4 * 2 ** 20;
const connectMs = 15_000;

export type CloudVisit = {
  readonly link: Link;
  readonly fleet: string;
  /** What the topics hold that are retained: waits until nothing has come for a moment. */
  retained(filter: string, quietMs?: number): Promise<Map<string, Uint8Array>>;
  /** Leaves the broker without a trace. */
  leave(): Promise<void>;
};

/** The configuration; one made up for the broker alone when the command line names that and there is no file. */
function loadForCloud(io: Io, { config, broker, fleet }: CloudVisitOptions): LoadedConfig {
  const named = config === undefined ? {} : { config };
  const flags = { "cloud.url": broker, "gateway.fleet": fleet };
  if (config !== undefined || broker === undefined || existsSync(configFile(io, named)))
    return loadFor(io, named, flags);
  const text = 'version: 1\nsensors: { url: "mqtt://127.0.0.1" }\n';
  return loadConfig({ text, env: {}, flags: { ...flags, "gateway.id": "operator" } });
}

/**
 * Connects to the cloud's broker as a client of its own, with the configuration's TLS and user where there is one.
 *
 * @throws TidegateError USAGE when no broker is known, BROKER_UNREACHABLE, BROKER_REFUSED …
 */
export async function visitCloud(
  io: Io,
  options: CloudVisitOptions,
  subscriptions: readonly LinkSubscription[] = [],
  onMessage: (message: LinkMessage) => void = () => {},
): Promise<CloudVisit> {
  const { config } = loadForCloud(io, options);
  const settings = config.cloud;
  if (!settings) throw new TidegateError("USAGE", { detail: "there is no cloud: name its broker with --broker URL" });
  const seen = new Map<string, Uint8Array>();
  let lastAt = 0;
  const link = new Link({
    name: "cloud",
    settings: { ...settings, sessionExpiry: 0 },
    clientId: `${config.gateway.fleet}-operator-${randomBytes(4).toString("hex")}`,
    credentials: readCredentials(settings, io.env.CREDENTIALS_DIRECTORY),
    subscriptions,
    ack: "auto",
    maxPacket,
    onMessage: (message) => {
      if (message.retain) seen.set(message.topic, new Uint8Array(message.payload));
      lastAt = performance.now();
      onMessage(message);
    },
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
  await link.start();
  const leave = () => link.stop(5_000);
  try {
    await link.online(Math.min(connectMs, settings.connectTimeout));
  } catch (thrown) {
    await leave();
    throw thrown;
  }
  return {
    link,
    fleet: config.gateway.fleet,
    leave,
    async retained(filter, quietMs = 300) {
      await link.reconcile([...subscriptions, { topic: filter, qos: 1, retained: "each" }]);
      lastAt = performance.now();
      while (performance.now() - lastAt < quietMs && !io.signal.aborted) await sleep(50, io.signal);
      await link.reconcile(subscriptions);
      return seen;
    },
  };
}
