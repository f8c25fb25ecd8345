import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { reasonOf } from "../../src/base/errors.ts";
import { seededRandom } from "../../src/base/random.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { integrityOf, readStored } from "../support/daemon-journal.ts";
import { atEnd, daemonAt, moteFields, openSite } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";
import { Disk, type Files, fates } from "../support/power-cut-disk.ts";
import { compilerMissing, compileShim, recordingEnv } from "../support/power-cut-recorder.ts";
import { layOut } from "../support/power-cut-replay.ts";
import { readTrace, type TraceEvent } from "../support/power-cut-trace.ts";

// Invariant: when a PUBACK goes to the broker, the sync of the log that holds its reading has ended: were the power cut
// in that moment and everything lost that was not synced, the reading would be there.
//
// The daemon is the real one, on mosquitto; the shim puts what it sends to the broker in order with what it writes and
// syncs. The medium is that of power-cut.test.ts. Keys are made before: what they stand on is theirs to test.

const publishRounds = 30;
const perRound = 10;
const seed = 9;

/** Counts the PUBACKs among MQTT packets as they are sent, piece by piece. */
function pubackCounter(): (bytes: Uint8Array) => number {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    let count = 0;
    for (;;) {
      let [length, at, shift] = [0, 1, 0];
      do {
        length += ((rest[at] ?? 0) & 127) << shift;
        shift += 7;
      } while (((rest[at++] ?? 0) & 128) !== 0);
      if (rest.length < 2 || rest.length < at + length) return count;
      if ((rest[0] ?? 0) >> 4 === 4) count++;
      rest = rest.subarray(at + length);
    }
  };
}

/** How many readings had been acknowledged after each event that acknowledges some. */
function acknowledgements(events: readonly TraceEvent[]): Map<number, number> {
  const count = pubackCounter();
  const byEvent = new Map<number, number>();
  let sum = 0;
  events.forEach((event, i) => {
    const more = event.kind === "sent" ? count(event.bytes) : 0;
    sum += more;
    if (more > 0) byEvent.set(i, sum);
  });
  return byEvent;
}

/** Numbers of the readings that are there after a cut, and what is wrong with the rest. */
async function readCut(files: Files, keys: string, numberOf: (ts: number) => number) {
  const { dir, remove } = layOut(files);
  try {
    cpSync(keys, join(dir, "keys"), { recursive: true });
    const { readings } = await readStored(dir, "env", moteFields);
    const integrity = integrityOf(dir).filter((word) => word !== "ok");
    return { numbers: new Set(readings.map(({ ts }) => numberOf(ts))), faults: integrity.map(String) };
  } catch (thrown) {
    return { numbers: new Set<number>(), faults: [reasonOf(thrown)] };
  } finally {
    remove();
  }
}

const shim = compileShim();

if (!shim && process.env.REQUIRE_REAL === "1")
  it("finds a compiler", () => {
    throw new Error(compilerMissing);
  });
else if (!shim) console.log(`power cut of the daemon: left out, ${compilerMissing}`);

describe.skipIf(!shim)(`each PUBACK${shim ? "" : ` (${compilerMissing})`}`, () => {
  describeReal("of a daemon on mosquitto", () => {
    it("is written when the sync of what it stands for has ended, which cuts show", async () => {
      if (!shim) return;
      atEnd(shim.remove);
      const folder = mkdtempSync(join(tmpdir(), "tidegate-puback-"));
      atEnd(() => rmSync(folder, { recursive: true, force: true }));
      const { broker, sensors } = await openSite();
      const everySecond = "* * * * * *";
      const daemon = daemonAt(broker.url, {
        buffer: { commitMaxDelay: "20ms", blockReadings: 64 },
        schedules: { merge: everySecond, checkpoint: everySecond },
      });
      const { dataDir } = daemon;
      mkdirSync(dataDir);
      openKeyRing({ dataDir });
      const keys = join(folder, "keys");
      cpSync(join(dataDir, "keys"), keys, { recursive: true });
      const trace = join(folder, "trace");
      await daemon.start({ env: recordingEnv(shim, dataDir, trace, broker.port) });
      for (let round = 0; round < publishRounds; round++) {
        await sensors.send(perRound);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const sent = publishRounds * perRound;
      await daemon.eventually(({ streams }) => streams.env?.stored === sent, `stored ${sent} readings`);
      const latest = () => [...acknowledgements(readTrace(trace)).values()].at(-1);
      await expect.poll(latest, { timeout: 10_000, message: daemon.text }).toBe(sent);
      await daemon.kill();

      const events = readTrace(trace);
      const acknowledged = acknowledgements(events);
      const random = seededRandom(seed);
      const [disk, careless] = [new Disk(() => false, ["keys"]), new Disk(() => true, ["keys"])];
      const missing: string[] = [];
      let missed = 0;
      for (const [i, event] of events.entries()) {
        disk.apply(event);
        careless.apply(event);
        const count = acknowledged.get(i);
        if (count === undefined) continue;
        const owed = Array.from({ length: count }, (_, n) => n);
        for (const fate of [fates.nothing(), fates.someSectors(random)]) {
          const { numbers, faults } = await readCut(disk.cut(fate), keys, (ts) => sensors.numberOf(ts));
          const lost = owed.filter((n) => !numbers.has(n));
          if (lost.length > 0 || faults.length > 0)
            missing.push(`at ${i}: ${lost.length} of ${count} lost; ${faults.join("; ")}`);
        }
        // The test of the test: the syncs that synchronous=OFF leaves away are those that it stands on.
        const { numbers, faults } = await readCut(careless.cut(fates.nothing()), keys, (ts) => sensors.numberOf(ts));
        if (faults.length === 0 && owed.some((n) => !numbers.has(n))) missed++;
      }
      console.log(
        `power cut of the daemon: ${acknowledged.size} moments of PUBACKs, readings lost at ${missing.length}; ` +
          `without syncs at ${missed}`,
      );
      expect(missing).toEqual([]);
      expect(acknowledged.size).toBeGreaterThan(publishRounds / 3);
      expect(missed).toBe(acknowledged.size);
    }, 60_000);
  });
});
