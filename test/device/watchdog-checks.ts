import type { Publisher } from "../support/publisher.ts";
import { type Checks, expectThat } from "./checks.ts";
import { dataDir, journalSince, mark, metric, processes, properties, unit, untilMetric } from "./device.ts";
import { type Machine, sleep } from "./machine.ts";

const stored = "tidegate_readings_stored_total";
const inferred = "tidegate_inferences_total";
/** How long something is slow: more than twice as long as the watchdog waits, s. */
const slowSeconds = 75;
/** The journal is taken for dead after five minutes; the watchdog waits 30 s more. */
const blockedLimitMs = 480_000;

/** The watchdog bites when progress stops, and only then. */
export async function watchdogChecks(machine: Machine, checks: Checks, sensors: Publisher): Promise<void> {
  await machine.until(`systemctl show ${unit} -p StatusText --value`, (text) => text === "ok", "the daemon is online");

  // The first 15 readings of each of the four motes give no window yet: from here on every reading gives one.
  const first = 100;
  await sensors.send(first);
  await untilMetric(machine, stored, first);
  await untilMetric(machine, inferred, first - 4 * 15);

  /** Does something to the machine while readings come in; the daemon has to live through it, and get all of them. */
  const endure = async (script: string): Promise<string> => {
    const before = await properties(machine, "MainPID", "NRestarts");
    const [storedBefore, inferredBefore] = [await metric(machine, stored), await metric(machine, inferred)];
    const sentBefore = sensors.sent;
    const ending = new AbortController();
    const sending = sensors.run(10, ending.signal);
    await machine.run(script, slowSeconds * 1_000 + 120_000);
    ending.abort();
    await sending;
    const sent = sensors.sent - sentBefore;
    await untilMetric(machine, stored, storedBefore + sent);
    await untilMetric(machine, inferred, inferredBefore + sent);
    const after = await properties(machine, "MainPID", "NRestarts");
    expectThat(
      JSON.stringify(after) === JSON.stringify(before),
      `${JSON.stringify(before)}, then ${JSON.stringify(after)}`,
    );
    return `the same process after ${slowSeconds} s; all ${sent} readings of that time stored and inferred`;
  };

  await checks.check("a slow model does not wake the watchdog (3 s a run)", async () => {
    const { model } = await processes(machine);
    return endure(
      `end=$((SECONDS + ${slowSeconds}))
while [ $SECONDS -lt $end ]; do kill -STOP ${model}; sleep 3; kill -CONT ${model}; sleep 0.3; done`,
    );
  });
  await checks.check("a slow fsync does not wake the watchdog (8 s a sync)", () =>
    endure(
      `end=$((SECONDS + ${slowSeconds}))
while [ $SECONDS -lt $end ]; do fsfreeze -f ${dataDir}; sleep 8; fsfreeze -u ${dataDir}; sleep 0.5; done`,
    ),
  );
  await checks.check("a main process that stands still is shot by the watchdog", async () => {
    const { main } = await processes(machine);
    const before = await properties(machine, "NRestarts");
    const from = await mark(machine);
    const begin = performance.now();
    await machine.run(`kill -STOP ${main}`);
    const sent = sensors.send(100);
    await machine.until(
      `journalctl -u ${unit} --after-cursor='${from}' -o cat --no-pager`,
      (text) => text.includes("with signal SIGABRT"),
      "the watchdog bites",
    );
    const seconds = (performance.now() - begin) / 1_000;
    await machine.until(
      `systemctl show ${unit} -p ActiveState -p NRestarts --value | paste -sd ' '`,
      (text) =>
        text.includes("active") && !text.includes("activating") && text.includes(String(Number(before.NRestarts) + 1)),
      "the unit is READY again",
    );
    await sent;
    await untilMetric(machine, stored, 100);
    return `bitten ${seconds.toFixed(0)} s after SIGSTOP (WatchdogSec=30), READY again, and the 100 readings of that time stored`;
  });
  await checks.check("a journal that stays blocked is left alone at first, and shot after five minutes", async () => {
    const before = await properties(machine, "NRestarts", "MainPID");
    const inferredBefore = await metric(machine, inferred);
    const from = await mark(machine);
    const begin = performance.now();
    await machine.run(`fsfreeze -f ${dataDir}`);
    const ending = new AbortController();
    const sending = sensors.run(10, ending.signal);
    await sleep(slowSeconds * 1_000);
    const between = await properties(machine, "NRestarts", "MainPID", "StatusText");
    const inferredBetween = (await metric(machine, inferred)) - inferredBefore;
    ending.abort();
    await sending;
    try {
      await machine.until(
        `journalctl -u ${unit} --after-cursor='${from}' -o cat --no-pager`,
        (text) => text.includes("with signal SIGABRT"),
        "the watchdog bites",
        blockedLimitMs,
      );
    } finally {
      // A process that waits for its disk cannot even be killed.
      await machine.run(`fsfreeze -u ${dataDir}`);
    }
    const seconds = (performance.now() - begin) / 1_000;
    expectThat(
      between.MainPID === before.MainPID,
      `it was restarted within ${slowSeconds} s: ${await journalSince(machine, from)}`,
    );
    expectThat(inferredBetween > 0, "nothing was inferred while the disk stood still");
    await machine.until(
      `systemctl show ${unit} -p ActiveState -p NRestarts --value | paste -sd ' '`,
      (text) =>
        text.includes("active") && !text.includes("activating") && text.includes(String(Number(before.NRestarts) + 1)),
      "the unit is READY again",
      300_000,
    );
    return `after ${slowSeconds} s the same process, ${inferredBetween} windows inferred meanwhile, status "${between.StatusText}"; bitten after ${seconds.toFixed(0)} s; READY again once the disk was back`;
  });
}
