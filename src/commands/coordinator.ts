import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import { type Component, Lifecycle } from "../base/lifecycle.ts";
import { weightsOfBundle } from "../coordinator/bundle-weights.ts";
import { Coordinator, coordinatorSubscriptions } from "../coordinator/coordinator.ts";
import type { FleetSettings } from "../coordinator/fleet-settings.ts";
import { checkSettings, planStatistics } from "../coordinator/round-plan.ts";
import { SqliteCoordinatorStore } from "../coordinator/sqlite-store.ts";
import { openKeyRing } from "../crypto/key-ring.ts";
import { readCredentials } from "../gateway/credentials.ts";
import { type Bundle, openBundle } from "../inference/bundle.ts";
import { ControlServer } from "../ops/control-server.ts";
import { createLog, type ProcessLog } from "../ops/log.ts";
import { Link } from "../wire/link.ts";
import { coordinatorHttp } from "./coordinator/doors.ts";
import { fleetHandlers } from "./coordinator/fleet-handlers.ts";
import { fleetSocket, readFleetSettings } from "./coordinator/settings.ts";
import { openValidation } from "./coordinator/validation.ts";
import type { Define } from "./verb.ts";

const drainMs = 10_000;
/** A part of an update with room for what a broker may let a gateway send. */
const maxPacket = 1_200_000;

export const define: Define = (command, io) => {
  command
    .option("--config <file>", "settings (default: ./coordinator.yaml, else /etc/tidegate/coordinator.yaml)")
    .option(
      "--take-over",
      "lead although the fleet has seen newer rounds than the data here: after a loss without backup",
    )
    .addHelpText(
      "after",
      "\nExample: tidegate coordinator --config coordinator.yaml\nThe first start makes its keys and prints the public one: it goes into the policy of each gateway, as a principal\nwith the role `coordinator`. docs/guides/fleet.md has a configuration to begin with.",
    )
    .action(async ({ config, takeOver }: { config?: string; takeOver?: boolean }) => {
      const settings = readFleetSettings(config);
      const log = createLog({ level: settings.logLevel });
      try {
        await runCoordinator(settings, log, io.signal, { isTakeOver: takeOver === true, env: io.env });
      } finally {
        log.flush();
      }
    });
};

type Circumstances = { readonly isTakeOver: boolean; readonly env: Readonly<Record<string, string | undefined>> };

async function runCoordinator(
  settings: FleetSettings,
  log: ProcessLog,
  signal: AbortSignal,
  { isTakeOver, env }: Circumstances,
): Promise<void> {
  const bundles = await openBundles(settings);
  const evaluate = await openValidation(settings.models, bundles);
  const { dataDir, fleet, listen } = settings;
  mkdirSync(dataDir, { recursive: true, mode: 0o750 });
  const credentialsDir = env.CREDENTIALS_DIRECTORY;
  const keys = openKeyRing({ dataDir, credentialsDir });
  if (keys.isNew) log.warn({ dir: join(dataDir, "keys") }, "keys made: back them up with `tidegate keys backup --dir`");
  log.info(
    { coordinator: Buffer.from(keys.signer.publicKey).toString("base64") },
    "gateways trust this public key: put it into their policy, with the role `coordinator`",
  );
  const store = new SqliteCoordinatorStore(join(dataDir, "coordinator.db"));
  let coordinator: Coordinator | undefined;
  const link = new Link({
    name: "cloud",
    // No session is kept: gateways send again until they have a receipt. So each process may have a name of its own, and
    // two of them do not push each other off the broker.
    settings: { url: settings.broker, protocol: "auto", receiveMaximum: 1_024, sessionExpiry: 0, keepalive: 30_000 },
    clientId: `tidegate-coordinator-${keys.fingerprints.signing.slice(0, 8)}-${process.pid}-${Date.now().toString(36)}`,
    credentials: readCredentials(settings, credentialsDir),
    subscriptions: coordinatorSubscriptions(fleet),
    ack: "auto",
    maxPacket,
    onMessage: ({ topic, payload, retain }) => coordinator?.receive(topic, payload, retain),
    onState: () => coordinator?.linkChanged(),
    clock: systemClock,
    log,
    random: Math.random,
  });
  coordinator = new Coordinator({
    settings,
    bundles,
    store,
    link,
    keys,
    isTakeOver,
    evaluate,
    clock: systemClock,
    log,
  });
  const releases = { bundles, store, dir: join(dataDir, "releases") };
  const control = new ControlServer({
    socket: fleetSocket(settings),
    handlers: fleetHandlers(coordinator, store, releases, () => systemClock.now()),
    log,
  });
  const http: Component[] = listen === undefined ? [] : [coordinatorHttp(listen, coordinator, link, log)];
  const lifecycle = new Lifecycle([link, coordinator, control, ...http]);
  await lifecycle.start(signal);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  log.info({ ...coordinator.state }, "ending");
  await lifecycle.stop(drainMs);
}

/** Opens the bundles, and refuses settings that no round can be made of: before a fleet hears of them. */
async function openBundles({ models }: FleetSettings): Promise<Map<string, Bundle>> {
  const bundles = new Map<string, Bundle>();
  for (const [name, model] of Object.entries(models)) {
    const bundle = await openBundle(model.bundle);
    if (bundle.name !== name) {
      const faults = [{ path: `models.${name}`, message: `the bundle is called ${bundle.name}: the key must be, too` }];
      throw new TidegateError("CONFIG_INVALID", { file: model.bundle, count: 1, faults });
    }
    checkSettings(model, (await weightsOfBundle(bundle)).length);
    await planStatistics(model, bundle);
    bundles.set(name, bundle);
  }
  return bundles;
}
