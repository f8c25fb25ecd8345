import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish, windowsOf } from "./clients.ts";
import { floorOf, floors } from "./disk-floor.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { playLive } from "./journal-days.ts";
import { type LoopDevice, mountLoopDevice } from "./loop-device.ts";
import { machine, type Report, type Row } from "./measure.ts";

const dayMs = 86_400_000;
const profile = "raspberry-pi-zero-2w";
/** About as often as the daemon commits with this profile: its delay, and the time until the next reading. */
const floorEveryMs = 5_050;
/** What the start has left to be written is written by then. */
const settleMs = 10_000;

/** What a reading takes on disk, and what the device has to write for it. */
export async function disk({ seconds, say }: BenchOptions): Promise<Report> {
  const rows: Row[] = [];
  const notes: string[] = [];
  const add = (row: Row) => {
    rows.push(row);
    say(row);
  };
  for (const sensorJitterMs of [0, 20]) {
    const dir = mkdtempSync(join(tmpdir(), "tidegate-disk-"));
    const run = await playLive({ dir, rate: 4, sensorJitterMs });
    rmSync(dir, { recursive: true, force: true });
    const value = run.fileBytes / run.rows;
    const goal = { goal: "<= 3 bytes", met: value <= 3 };
    const clocks = sensorJitterMs === 0 ? "" : `, sensor clocks +-${sensorJitterMs} ms`;
    add({ what: `mote data live at 4/s, merged${clocks}: file / exported rows`, value, unit: "bytes", ...goal });
    notes.push(`${run.rows} rows exported, file ${run.fileBytes} bytes${clocks}.`);
  }
  notes.push(
    "Live: a clock moved on by program; readings arrive 8 to 33 ms after the sensor's time, commits every 5 s.",
  );

  const probe = mountLoopDevice();
  if (!probe) {
    notes.push("No loop device may be mounted here (it takes root): the rows of bytes written are left out.");
    return { name: "disk", machine: machine(), rows, notes };
  }
  probe.remove();
  // Side by side, each on a device of its own: they hardly work, and take as long as they take.
  const paced = seconds * 30;
  const aDay = (bytes: number) => bytes * (dayMs / (paced * 1_000));
  const slow = [1, 10].map(async (rate) => {
    const { bytes } = await daemonWrites(rate, paced);
    add({ what: `daemon at ${rate} msg/s, SD profile, ${paced} s: written a day`, ...megabytes(aDay(bytes), 300) });
  });
  const least = Object.entries(floors).map(async ([name, floor]) => {
    const bytes = await onDevice((device) => floorOf(device, floor, floorEveryMs, paced));
    add({
      what: `one block each ${floorEveryMs / 1_000} s, ${name}: written a day`,
      value: aDay(bytes) / 1e6,
      unit: "MB",
    });
  });
  await Promise.all([...slow, ...least]);
  const fast = await daemonWrites(1_000, seconds);
  const ratio = fast.bytes / fast.payloadBytes;
  add({
    ...{ what: `daemon at 1,000 msg/s, SD profile, ${seconds} s: written`, value: fast.bytes / 1e6, unit: "MB" },
    ...{ against: "payload", ratio, goal: "<= 2 x", met: ratio <= 2 },
  });
  notes.push(
    "Written: the counter of a block device that holds nothing else, ext4 and its journal included, from the start's end on.",
  );
  return { name: "disk", machine: machine(), rows, notes };
}

const megabytes = (bytes: number, most: number) => ({
  ...{ value: bytes / 1e6, unit: "MB" },
  ...{ goal: `<= ${most} MB`, met: bytes / 1e6 <= most },
});

async function onDevice<T>(work: (device: LoopDevice) => Promise<T>): Promise<T> {
  const device = mountLoopDevice();
  if (!device) throw new Error("the loop device is gone");
  try {
    return await work(device);
  } finally {
    device.remove();
  }
}

/** What the whole daemon makes the device write once it runs, its last commit included. */
function daemonWrites(rate: number, seconds: number): Promise<{ bytes: number; payloadBytes: number }> {
  return onDevice(async ({ dir, written }) => {
    const broker = await startMosquitto({ conf: recommended });
    const gateway = await GatewayProcess.start({ url: broker.url, qos: 1, profile, dir: join(dir, "gateway") });
    written();
    await pause(settleMs);
    const before = written();
    try {
      const count = rate * seconds;
      const { payloadBytes } = await publish(broker.port, count, 1, rate);
      const { isComplete, status } = await gateway.finished(count, windowsOf(count));
      if (!isComplete) throw new Error(`stored ${status.stored} of ${count}`);
      return { bytes: written() - before, payloadBytes };
    } finally {
      await gateway.stop();
      await broker.stop();
    }
  });
}
