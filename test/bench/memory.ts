import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish, windowsOf } from "./clients.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

const sampleMs = 250;
const flood = 1_000_000;

/** Memory of all processes of the gateway, each shared page counted once: at 1,000 messages a second, and at most. */
export async function memory({ seconds, messages = flood, say }: BenchOptions): Promise<Report> {
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
