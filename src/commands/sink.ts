import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import { type Component, Lifecycle } from "../base/lifecycle.ts";
import { GatewayTrust, readTrustedKeys } from "../coordinator/gateway-trust.ts";
import { MqttOutput } from "../coordinator/mqtt-output.ts";
import { NdjsonOutput } from "../coordinator/ndjson-output.ts";
import { Sink, sinkFilters } from "../coordinator/sink.ts";
import type { SinkOutput } from "../coordinator/sink-output.ts";
import { FileSinkStore } from "../coordinator/sink-store.ts";
import { WatchedFile } from "../coordinator/watched-file.ts";
import { type KeyRing, type KeyRingOptions, openKeyRing } from "../crypto/key-ring.ts";
import { formerBoxes } from "../crypto/key-rotation.ts";
import { readCredentials } from "../gateway/credentials.ts";
import { createLog, type ProcessLog } from "../ops/log.ts";
import { Link } from "../wire/link.ts";
import { keyPlace } from "./keys/passphrase.ts";
import { readSinkSettings, type SinkSettings } from "./sink/settings.ts";
import type { Define, Io } from "./verb.ts";

const drainMs = 10_000;
const maxPacket = 1_200_000;

export const define: Define = (command, io) => {
  command
    .option("--config <file>", "settings (YAML): broker, dataDir, fleet, trust, to …")
    .option("--to <where>", "ndjson:DIR, or mqtt:URL such as mqtt://127.0.0.1:1883 (postgres: comes later)")
    .option("--broker <url>", "broker of the cloud")
    .option("--data-dir <dir>", "keys, and what has been received")
    .option("--fleet <fleet>", "one fleet, or + for all")
    .option("--trust-first-use", "trust any gateway's key on its first use")
    .addHelpText(
      "after",
      "\nExample: tidegate sink --broker mqtt://cloud:1883 --data-dir ./sink --to ndjson:./readings\nThe first start makes the sink's keys and prints the public one: it goes into `cloud.dataKey` of each gateway.",
    )
    .action(async (options: Record<string, string | boolean | undefined>) => {
      const { config, to, broker, dataDir, fleet, trustFirstUse } = options;
      const settings = readSinkSettings(config as string | undefined, { to, broker, dataDir, fleet, trustFirstUse });
      checkTarget(settings.to);
      const log = createLog({ level: settings.logLevel });
      try {
        await runSink(settings, log, io);
      } finally {
        log.flush();
      }
    });
};

async function runSink(settings: SinkSettings, log: ProcessLog, io: Io): Promise<void> {
  const { signal } = io;
  const credentialsDir = io.env.CREDENTIALS_DIRECTORY;
  mkdirSync(settings.dataDir, { recursive: true, mode: 0o750 });
  const place = await keyPlace(io, settings.dataDir);
  const keys = openKeyRing(place);
  if (keys.isNew)
    log.warn({ dir: join(settings.dataDir, "keys") }, "keys made: back them up with `tidegate keys backup`");
  const boxes = openBoxes(place);
  log.info(
    { recipient: Buffer.from(keys.box.publicKey).toString("base64") },
    "gateways seal to this public key: put it into cloud.dataKey",
  );
  if (settings.fleet !== "+")
    log.info(
      { announcer: Buffer.from(keys.signer.publicKey).toString("base64") },
      "or put this one into cloud.dataSigner: the key to seal to is announced under it",
    );
  const { broker, dataDir, fleet, trust, trustFirstUse, share } = settings;
  let sink: Sink | undefined;
  const link = linkTo("sink", broker, {
    settings,
    log,
    credentialsDir,
    clientId: settings.clientId ?? `tidegate-sink-${keys.identity.slice(0, 8)}-${hostname()}`,
    former: sinkFilters(fleet),
    onMessage: (topic, payload) => sink?.receive(topic, payload),
    onState: () => sink?.linkChanged(),
  });
  const { output, components } = outputTo(settings, log, credentialsDir);
  const trustFile = trust ?? join(dataDir, "trusted.json");
  const trusted = readTrustedKeys(trustFile);
  const gateways = new GatewayTrust(trusted, trustFirstUse, log);
  if (Object.keys(trusted).length === 0 && !trustFirstUse)
    log.warn(
      "no gateway is trusted yet: put its key into trusted.json, as `tidegate keys show` on the gateway prints it",
    );
  sink = new Sink({
    link,
    store: new FileSinkStore(join(dataDir, "received.state")),
    output,
    trust: gateways,
    keys: boxes,
    signer: keys.signer,
    fleet,
    share,
    ...(fleet === "+" ? {} : { announce: { fleets: [fleet], signer: keys.signer } }),
    clock: systemClock,
    log,
  });
  const lifecycle = new Lifecycle([
    ...components,
    ...watched(place, trustFile, { sink, gateways, boxes, log }),
    sink,
    link,
  ]);
  await lifecycle.start(signal);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  log.info({ ...sink.state }, "ending");
  await lifecycle.stop(drainMs);
}

/** The key that batches are sealed for now, and those before it. */
function openBoxes(place: KeyRingOptions): KeyRing["box"][] {
  const { box } = openKeyRing(place);
  const isOther = ({ publicKey }: KeyRing["box"]) => Buffer.compare(publicKey, box.publicKey) !== 0;
  return [box, ...formerBoxes(place).filter(isOther)];
}

type Watching = {
  readonly sink: Sink;
  readonly gateways: GatewayTrust;
  readonly boxes: readonly KeyRing["box"][];
  readonly log: ProcessLog;
};

/** What `keys trust | revoke | rotate | retire` change holds while the sink runs. */
function watched(place: KeyRingOptions, trustFile: string, { sink, gateways, boxes, log }: Watching): Component[] {
  const nameOf = (all: readonly KeyRing["box"][]) =>
    all.map(({ publicKey }) => Buffer.from(publicKey).toString("base64"));
  let known = nameOf(boxes).join();
  return [
    new WatchedFile("trusted keys", trustFile, log, () => {
      const trusted = readTrustedKeys(trustFile);
      gateways.replace(trusted);
      return { gateways: Object.keys(trusted).length };
    }),
    new WatchedFile("data keys", join(place.dataDir, "keys"), log, () => {
      const next = openBoxes(place);
      const names = nameOf(next);
      if (names.join() === known) return undefined;
      known = names.join();
      sink.useKeys(next);
      return { recipient: names[0], former: names.length - 1 };
    }),
  ];
}

type LinkParts = {
  readonly settings: SinkSettings;
  readonly log: ProcessLog;
  readonly credentialsDir: string | undefined;
  readonly clientId: string;
  readonly former: readonly string[];
  onMessage(topic: string, payload: Uint8Array): void;
  onState(): void;
};

function linkTo(name: string, url: string, parts: LinkParts): Link {
  const { settings, log, credentialsDir, clientId, former, onMessage, onState } = parts;
  return new Link({
    name,
    settings: { url, protocol: "auto", receiveMaximum: 1_024, sessionExpiry: 86_400_000, keepalive: 30_000 },
    clientId,
    credentials: readCredentials(settings, credentialsDir),
    subscriptions: [],
    former,
    ack: "auto",
    maxPacket,
    onMessage: ({ topic, payload }) => onMessage(topic, payload),
    onState,
    clock: systemClock,
    log,
    random: Math.random,
  });
}

/** Where to: `ndjson:DIR`, or `mqtt://…`, whose broker may ask for nothing that the sink's own does not. */
function outputTo(
  settings: SinkSettings,
  log: ProcessLog,
  credentialsDir?: string,
): { output: SinkOutput; components: Link[] } {
  const to = checkTarget(settings.to);
  if (to.startsWith("ndjson:"))
    return { output: new NdjsonOutput({ dir: to.slice("ndjson:".length) }), components: [] };
  const url = to;
  const none = { onMessage: () => {}, onState: () => {}, former: [] };
  const link = linkTo("output", url, {
    settings,
    log,
    credentialsDir,
    clientId: `tidegate-sink-output-${process.pid}`,
    ...none,
  });
  return { output: new MqttOutput({ link, prefix: "tidegate" }), components: [link] };
}

/** The target in its full form. @throws TidegateError USAGE */
function checkTarget(to: string | undefined): string {
  if (to === undefined) throw new TidegateError("USAGE", { detail: "--to is missing: ndjson:DIR or mqtt://HOST:PORT" });
  const full = to.startsWith("mqtt:") && !to.startsWith("mqtt://") ? to.slice("mqtt:".length) : to;
  if (full.startsWith("ndjson:") || /^mqtts?:\/\//.test(full)) return full;
  throw new TidegateError("USAGE", { detail: `--to ${to}: known are ndjson:DIR and mqtt://HOST:PORT` });
}
