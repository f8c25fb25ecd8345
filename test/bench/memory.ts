import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish, windowsOf } from "./clients.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

const sampleMs = 250;
const flood = 600_000;

/** A pace that a small machine keeps up with: what is measured is that nothing grows. */
const longRate = 10_000;

/** Memory over very many readings that are owed to a cloud which is away: a fifth in the middle of it, and the last one. */
async function overTime(readings: number, say: (row: Row) => void): Promise<Report> {
  const broker = await startMosquitto({ conf: recommended });
  const settings = { url: broker.url, qos: 1, cloud: "mqtt://127.0.0.1:9" } as const;
  const gateway = await GatewayProcess.start(settings);
  try {
    const samples: { mb: number; stored: number }[] = [];
    const sending = publish(broker.port, readings, 1, longRate);
    const finished = gateway.finished(readings, windowsOf(readings));
    const isOver = finished.then(() => true);
    while (!(await Promise.race([isOver, pause(2_000)])))
      samples.push({ mb: gateway.pssMegabytes(), stored: (await gateway.stream()).stored });
    await sending;
    const { status, isComplete } = await finished;
    const between = (from: number, to: number) =>
      median(samples.filter(({ stored }) => stored >= from * readings && stored < to * readings).map(({ mb }) => mb));
    const [second, last] = [between(0.2, 0.4), between(0.8, 1.01)];
    const growth = last - second;
    const rows: Row[] = [
      { what: "second fifth of the readings: median", value: second, unit: "MB PSS" },
      { what: "last fifth: median", value: last, unit: "MB PSS" },
      { what: "growth between them", value: growth, unit: "MB", goal: "<= 10 MB", met: growth <= 10 },
      { what: "most", value: Math.max(...samples.map(({ mb }) => mb)), unit: "MB PSS" },
    ];
    rows.forEach(say);
    const stats = await gateway.stats();
    const notes = [
      `${readings} readings at ${longRate} msg/s, QoS 1, results on change, all owed to a cloud that is away; stored ${status.stored}, inferred ${status.inferences}${isComplete ? "" : ": NOT COMPLETE"}; journal ${Math.round(stats.fileBytes / 1e6)} MB.`,
    ];
    return { name: "memory over time", machine: machine(), rows, notes };
  } finally {
    await gateway.stop();
    await broker.stop();
  }
}

/** Memory of all processes of the gateway, each shared page counted once: at 1,000 messages a second, and at most. */
export async function memory({ seconds, messages = flood, readings, say }: BenchOptions): Promise<Report> {
  if (readings !== undefined) return overTime(readings, say);
  const rows: Row[] = [];
  const notes: string[] = [];
  const loads = [
    { name: "at 1,000 msg/s", count: seconds * 1_000, rate: 1_000, goal: 160 },
    { name: "at saturation", count: messages, rate: 0, goal: 250 },
  ];
  for (const qos of [0, 1] as const)
    for (const { name, count, rate, goal } of loads) {
      const broker = await startMosquitto({ conf: recommended });
      const gateway = await GatewayProcess.start({ url: broker.url, qos, publish: "all" });
      try {
        const samples: number[] = [];
        const sending = publish(broker.port, count, qos, rate);
        const finished = gateway.finished(count, windowsOf(count));
        const isOver = finished.then(() => true);
        while (!(await Promise.race([isOver, pause(sampleMs)]))) samples.push(gateway.pssMegabytes());
        await sending;
        const { status, isComplete } = await finished;
        if (!isComplete)
          notes.push(`QoS ${qos}, ${name}: stored ${status.stored}, inferred ${status.inferences} of ${count}.`);
        const value = Math.max(...samples);
        const row = {
          ...{ what: `QoS ${qos}, ${name}, results published: most`, value, unit: "MB PSS", goal: `<= ${goal} MB` },
          met: value <= goal,
        };
        rows.push(row, { what: `QoS ${qos}, ${name}: median`, value: median(samples), unit: "MB PSS" });
        say(row);
      } finally {
        await gateway.stop();
        await broker.stop();
      }
    }
  return { name: "memory", machine: machine(), rows, notes };
}
