/** usage: npm run test:device -- [--only service,watchdog,plugs,careless] [--pulls N] [--seed N] */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { reasonOf } from "../../src/base/errors.ts";
import { type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/publisher.ts";
import { startRelay } from "./acknowledged-relay.ts";
import { Checks } from "./checks.ts";
import { credentialChecks, passwordLine } from "./credential-checks.ts";
import { dataDisk, install, overlay, prepare } from "./installation.ts";
import { Machine } from "./machine.ts";
import { carelessChecks, type PlugOptions, plugChecks } from "./pulled-plugs.ts";
import { bootChecks, hardeningChecks, workChecks } from "./service-checks.ts";
import { watchdogChecks } from "./watchdog-checks.ts";

const parts = ["service", "watchdog", "plugs", "careless"];
const { values } = parseArgs({
  options: {
    only: { type: "string", default: parts.join(",") },
    pulls: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const wanted = values.only.split(",");
const [pulls, seed] = [values.pulls, values.seed].map(Number) as [number, number];
if (wanted.some((part) => !parts.includes(part)) || !(pulls > 0) || !Number.isInteger(seed)) {
  console.error(`usage: npm run test:device -- [--only ${parts.join(",")}] [--pulls N] [--seed N]`);
  process.exit(64);
}

const say = (line: string): void => console.log(line);
const cache = resolve(import.meta.dirname, "../../.cache/device");
/** As README.md recommends, so that nothing waits in vain while the device is off. */
const recommended = ["max_queued_messages 0", "max_inflight_messages 0", "set_tcp_nodelay true"];

/** A site of its own for a part: a broker and its sensors. */
async function atSite(work: (site: { broker: Mosquitto; sensors: Publisher }) => Promise<void>): Promise<void> {
  const broker = await startMosquitto({ conf: recommended });
  const sensors = await Publisher.connect(broker.url);
  try {
    await work({ broker, sensors });
  } finally {
    await sensors.close();
    await broker.stop();
  }
}

const checks = new Checks(say);
mkdirSync(cache, { recursive: true });
/** Disks of this run; the machine beside it serves every run. */
const run = mkdtempSync(join(cache, "run-"));
process.on("exit", () => rmSync(run, { recursive: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));
say("the device: an emulated arm64 machine; times inside are those of emulation");
const ready = prepare(cache, run);
if (typeof ready === "string") {
  say(`left out, all of it: ${ready}`);
  say("0 passed, 0 failed");
  process.exit(process.env.REQUIRE_REAL === "1" ? 1 : 0);
}
const installed = overlay(join(run, "installed.qcow2"), join(ready.folder, "base.img"), "raw");
const installedData = dataDisk(join(run, "installed-data.img"));
/** Disks of a part: as the installation left them. */
const disksFor = (part: string) => ({
  ...ready,
  disk: overlay(join(run, `${part}.qcow2`), installed),
  data: dataDisk(join(run, `${part}-data.img`), installedData),
});

/** One part; what goes wrong between its checks is a failed check, too. */
async function part(name: string, work: () => Promise<void>): Promise<void> {
  if (!wanted.includes(name) && name !== "installation") return;
  say(`\n== ${name}`);
  try {
    await work();
  } catch (thrown) {
    await checks.check(name, () => Promise.reject(new Error(reasonOf(thrown))));
  }
}

await part("installation", () => install({ ...ready, disk: installed, data: installedData, brokerPort: 1 }, checks));

/** The unit in the machine, from its first boot to the watchdog. */
async function serviceParts(): Promise<void> {
  await part("service", () =>
    atSite(async ({ broker, sensors }) => {
      let port: number | undefined;
      const relay = await startRelay(() => port);
      const machine = await Machine.boot({ ...disksFor("service"), brokerPort: relay.port });
      const folder = mkdtempSync(join(tmpdir(), "tidegate-device-"));
      try {
        await bootChecks(machine, checks);
        port = broker.port;
        await hardeningChecks(machine, checks);
        await workChecks(machine, checks, sensors);
        writeFileSync(join(folder, "passwords"), passwordLine(), { mode: 0o600 });
        const guarded = await startMosquitto({ isAnonymous: false, conf: [`password_file ${folder}/passwords`] });
        try {
          port = guarded.port;
          await credentialChecks(machine, checks);
        } finally {
          await guarded.stop();
        }
      } finally {
        await machine.pullPlug();
        relay.stop();
        rmSync(folder, { recursive: true });
      }
    }),
  );
  await part("watchdog", () =>
    atSite(async ({ broker, sensors }) => {
      const machine = await Machine.boot({ ...disksFor("watchdog"), brokerPort: broker.port });
      try {
        await watchdogChecks(machine, checks, sensors);
      } finally {
        await machine.pullPlug();
      }
    }),
  );
}

/** A device with a relay between it and its broker, for pulls. */
async function plugDevice(
  name: string,
  count: number,
  deviceSeed: number,
  work: (device: PlugOptions) => Promise<void>,
) {
  await atSite(async ({ broker, sensors }) => {
    const relay = await startRelay(() => broker.port);
    const machine = { ...disksFor(name), brokerPort: relay.port };
    try {
      await work({ name, machine, relay, sensors, pulls: count, seed: deviceSeed, say });
    } finally {
      relay.stop();
    }
  });
}

// Most of the time is spent waiting: the parts share nothing but the processor.
await Promise.all([
  serviceParts(),
  part("plugs", () =>
    plugDevice("plugs-1", Math.ceil(pulls / 2), seed, (one) =>
      plugDevice("plugs-2", Math.floor(pulls / 2), seed + 1, (other) => plugChecks([one, other], checks)),
    ),
  ),
  part("careless", () => plugDevice("careless", 3, seed + 2, (device) => carelessChecks(device, checks))),
]);

say(`\n${checks.table}\n`);
say(`${checks.passed} passed, ${checks.failed} failed`);
process.exitCode = checks.failed > 0 || checks.passed === 0 ? 1 : 0;
