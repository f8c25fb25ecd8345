import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish, windowsOf } from "./clients.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { playLive } from "./journal-days.ts";
import { type LoopDevice, mountLoopDevice } from "./loop-device.ts";
import { machine, type Report, type Row } from "./measure.ts";

const dayMs = 86_400_000;
const profile = "raspberry-pi-zero-2w";

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
    const goal = sensorJitterMs === 0 ? { goal: "<= 3 bytes", met: value <= 3 } : {};
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
  for (const rate of [1, 10]) {
    const value = await onDevice(async ({ dir, written }) => {
      let before = 0;
      const onBegin = () => {
        before = written();
      };
      let after = 0;
      const onEnd = () => {
        after = written();
      };
      const { spanMs } = await playLive({ dir, rate, sensorJitterMs: 0, onBegin, onEnd });
      return ((after - before) / spanMs) * dayMs;
    });
    add({ what: `journal at ${rate}/s, SD profile, clock moved on: written a day`, ...megabytes(value, 300) });
  }
  const paced = seconds * 6;
  const live = await daemonWrites(10, paced);
  add({
    what: `daemon at 10 msg/s, SD profile, ${paced} s: written a day`,
    ...megabytes(live.bytes * (dayMs / (paced * 1000)), 300),
  });
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
