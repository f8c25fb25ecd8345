import { seededRandom } from "../../src/base/random.ts";
import type { Publisher } from "../support/publisher.ts";
import type { Relay } from "./acknowledged-relay.ts";
import { type Checks, expectThat } from "./checks.ts";
import { ask, configFile, start, treeDir, unit } from "./device.ts";
import { look } from "./left-behind.ts";
import { Machine, type MachineOptions, sleep } from "./machine.ts";

export type PlugOptions = {
  /** Of the device, for the log. */
  readonly name: string;
  readonly machine: MachineOptions;
  readonly relay: Relay;
  readonly sensors: Publisher;
  readonly pulls: number;
  readonly seed: number;
  readonly say: (line: string) => void;
};

export type Cut = {
  /** Readings that the daemon had acknowledged in the life that the pull ended. */
  readonly acknowledged: number;
  /** Readings that it had acknowledged, in this life or before, and that are gone since this pull. */
  readonly lost: number;
  /** What else was wrong with the databases. */
  readonly faults: readonly string[];
};

/** Readings a second: what the emulation takes with ease, the backlog of each boot included. */
const rate = 10;
/** Longest time from READY to the first acknowledgement. */
const acknowledgeLimitMs = 600_000;
/** Many commits, merges and checkpoints, so that pulls meet them. */
const busyJournal = `buffer: { commitMaxDelay: 200ms, blockReadings: 256 }
schedules: { merge: "*/2 * * * * *", checkpoint: "*/3 * * * * *" }
`;

const timeOf = (payload: string): number => (JSON.parse(payload) as { ts: number }).ts;

/** Readies a disk for pulls: the unit is started by the test, which looks at what was left before. */
export async function readyForPulls(options: MachineOptions, isCareless: boolean): Promise<void> {
  const machine = await Machine.boot(options);
  const config = await machine.run(`cat ${configFile}`);
  await machine.write(configFile, `${config}\n${busyJournal}`);
  if (isCareless) {
    // The one line of the journal that says FULL, seen by this unit alone as OFF.
    const file = `${treeDir}/dist/buffer/journal.js`;
    await machine.run(
      `sed 's/synchronous: "FULL"/synchronous: "OFF"/' ${file} >/etc/careless.js && ! cmp -s ${file} /etc/careless.js`,
    );
    await machine.write(
      "/etc/systemd/system/tidegate.service.d/careless.conf",
      `[Service]\nBindReadOnlyPaths=/etc/careless.js:${file}\n`,
    );
  }
  await machine.run(`systemctl disable ${unit} 2>/dev/null; systemctl daemon-reload; sync`);
  await machine.powerOff();
}

/** Pulls the plug again and again while readings come in, and looks each time at what the next boot finds. */
export async function pullPlugs({
  name,
  machine: options,
  relay,
  sensors,
  pulls,
  seed,
  say,
}: PlugOptions): Promise<Cut[]> {
  const random = seededRandom(seed);
  const cuts: Cut[] = [];
  const ending = new AbortController();
  const gone = new Set<number>();
  let sending: Promise<void> | undefined;
  let machine: Machine | undefined;
  try {
    for (let pull = 1; pull <= pulls; pull++) {
      machine = await Machine.boot(options);
      const before = relay.acknowledged.size;
      await start(machine);
      sending ??= sensors.run(rate, ending.signal);
      for (let waited = 0; relay.acknowledged.size === before; waited += 20) {
        expectThat(waited < acknowledgeLimitMs, "the daemon acknowledges nothing");
        await sleep(20);
      }
      // From the backlog of the first moments to the calm after it.
      await sleep(random() * 10_000);
      await machine.pullPlug();
      const acknowledged = [...relay.acknowledged].map(timeOf);
      const { integrity, fault, times } = await look(options.data);
      const found = new Set(times);
      const newlyGone = acknowledged.filter((ts) => !found.has(ts) && !gone.has(ts));
      for (const ts of newlyGone) gone.add(ts);
      const faults = [...integrity.filter((word) => word !== "ok"), ...(fault === null ? [] : [fault])];
      const cut = { acknowledged: acknowledged.length - before, lost: newlyGone.length, faults };
      cuts.push(cut);
      say(
        `       ${name}, pull ${pull}: ${cut.acknowledged} acknowledged in this life, ${cut.lost} lost; ` +
          `integrity ${integrity.join(", ")}${fault === null ? "" : `; ${fault}`}`,
      );
    }
    return cuts;
  } finally {
    ending.abort();
    await sending;
    await machine?.pullPlug();
  }
}

/** After the pulls: the rest arrives, and everything that the broker has taken is there, once after dedup. */
async function everything({ machine: options, sensors, relay }: PlugOptions): Promise<string> {
  const machine = await Machine.boot(options);
  await start(machine);
  const end = performance.now() + 900_000;
  while (relay.acknowledged.size < sensors.acknowledged && performance.now() < end) await sleep(500);
  if (relay.acknowledged.size < sensors.acknowledged) {
    const health = await ask(machine, "/healthz");
    const log = await machine.run(`journalctl -u ${unit} -b -n 30 -o cat --no-pager`);
    await machine.pullPlug();
    throw new Error(`${relay.acknowledged.size} of ${sensors.acknowledged} acknowledged\n${health}\n${log}`);
  }
  await machine.run(`systemctl stop ${unit}`);
  await machine.powerOff();
  const { integrity, fault, times } = await look(options.data);
  const found = new Set(times.map((ts) => sensors.numberOf(ts)));
  expectThat(sensors.acknowledged === sensors.sent, `the broker took ${sensors.acknowledged} of ${sensors.sent}`);
  const missing = Array.from({ length: sensors.sent }, (_, n) => n).filter((n) => !found.has(n));
  const foreign = [...found].filter((n) => n < 0 || n >= sensors.sent);
  expectThat(fault === null && integrity.every((word) => word === "ok"), `${integrity.join(", ")} ${fault}`);
  expectThat(missing.length === 0, `${missing.length} of ${sensors.sent} are missing`);
  expectThat(foreign.length === 0, `${foreign.length} were never sent`);
  return `${sensors.sent} published, all of them there, ${times.length - found.size} stored again under the same id; integrity ok, ok`;
}

const sum = <T>(of: readonly T[], pick: (one: T) => number): number => of.reduce((total, one) => total + pick(one), 0);

/** The promise: what was acknowledged is there after any pull. Each of the devices has a site of its own. */
export async function plugChecks(devices: readonly PlugOptions[], checks: Checks): Promise<void> {
  const pulls = sum(devices, (device) => device.pulls);
  await checks.check(`${pulls} pulled plugs while QoS 1 readings come in`, async () => {
    const ofEach = await Promise.all(
      devices.map(async (device) => {
        await readyForPulls(device.machine, false);
        return pullPlugs(device);
      }),
    );
    const cuts = ofEach.flat();
    const lost = sum(cuts, (cut) => cut.lost);
    const faults = cuts.flatMap((cut) => cut.faults);
    const acknowledged = sum(cuts, (cut) => cut.acknowledged);
    expectThat(lost === 0 && faults.length === 0, `${lost} acknowledged readings lost; ${faults.join("; ")}`);
    return `${acknowledged} readings acknowledged by the gateway, 0 lost by any of ${cuts.length} pulls; buffer.db and state.db pass integrity_check after each (seeds ${devices.map(({ seed }) => seed).join(", ")})`;
  });
  await checks.check("after the last pull the rest arrives, too", async () =>
    (await Promise.all(devices.map(everything))).join("; "),
  );
}

/** The test of the test: without syncs the same pulls lose what was acknowledged. */
export async function carelessChecks(options: PlugOptions, checks: Checks): Promise<void> {
  await checks.check(`with synchronous=OFF the same test fails (${options.pulls} pulls)`, async () => {
    await readyForPulls(options.machine, true);
    const cuts = await pullPlugs(options);
    const failed = cuts.filter(({ lost, faults }) => lost > 0 || faults.length > 0);
    expectThat(failed.length > 0, "nothing was lost: these pulls do not show what they should");
    const damaged = cuts.filter(({ faults }) => faults.length > 0).length;
    const losses = cuts.map(({ lost, acknowledged }) => `${lost} of ${acknowledged}`).join(", ");
    return `${failed.length} of ${cuts.length} pulls fail it: ${losses} acknowledged readings lost; databases damaged by ${damaged}`;
  });
}
