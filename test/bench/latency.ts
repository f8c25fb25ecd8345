import { Socket } from "node:net";
import mqtt, { type MqttClient } from "mqtt";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { motes, windowsOf } from "./clients.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { machine, median, percentile, type Report, type Row } from "./measure.ts";

export const rate = 1_000;

/** Messages of a slice, two seconds: the median over slices is not one hiccup of a shared machine. */
const slice = 2_000;

/** Delays by slice. */
export type Delays = { readonly delays: readonly number[][]; readonly missing: number };

export const typical = ({ delays }: Delays, share: number): number =>
  median(delays.filter(({ length }) => length > 0).map((of) => percentile(of, share)));

/** Publishes at a steady rate and notes for each message when what it led to comes back, ms. */
export async function measure(
  client: MqttClient,
  answers: string,
  count: number,
  qos: 0 | 1,
  expected: number,
): Promise<Delays> {
  const base = Date.now();
  const sentAt = new Float64Array(count);
  const delays = Array.from({ length: Math.ceil(count / slice) }, (): number[] => []);
  let heard = 0;
  const finished = Promise.withResolvers<void>();
  const hear = (_topic: string, payload: Buffer) => {
    const now = performance.now();
    const { ts } = JSON.parse(payload.toString()) as { ts: number };
    delays[Math.floor((ts - base) / slice)]?.push(now - (sentAt[ts - base] ?? Number.NaN));
    if (++heard === expected) finished.resolve();
  };
  await client.subscribeAsync(answers, { qos });
  client.on("message", hear);
  const begin = performance.now();
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, Math.floor(((performance.now() - begin) / 1000) * rate));
    for (; sent < due; sent++) {
      const humidity = Math.round((45 + 5 * Math.cos(sent / 700)) * 100) / 100;
      const temperature = Math.round((20 + 5 * Math.sin(sent / 500)) * 100) / 100;
      sentAt[sent] = performance.now();
      client.publish(`bench/${sent % motes}/env`, JSON.stringify({ ts: base + sent, humidity, temperature }), { qos });
    }
    await pause(1);
  }
  await Promise.race([finished.promise, pause(5_000)]);
  client.off("message", hear);
  await client.unsubscribeAsync(answers);
  return { delays, missing: expected - heard };
}

/** From the call that publishes a reading to the arrival of its result, at 1,000 messages a second. */
export async function latency({ seconds, say }: BenchOptions): Promise<Report> {
  const rows: Row[] = [];
  const notes: string[] = [];
  const count = seconds * rate;
  for (const qos of [0, 1] as const) {
    const broker = await startMosquitto({ conf: recommended });
    const client = await mqtt.connectAsync(broker.url, { protocolVersion: 5 });
    if (client.stream instanceof Socket) client.stream.setNoDelay(true);
    try {
      // The same way without a gateway: what publisher, broker and subscriber take by themselves.
      const floor = await measure(client, "bench/#", count / 4, qos, count / 4);
      const gateway = await GatewayProcess.start({ url: broker.url, qos, publish: "all" });
      try {
        const results = `tidegate/bench/results/#`;
        const through = await measure(client, results, count, qos, windowsOf(count));
        if (through.missing > 0) notes.push(`QoS ${qos}: ${through.missing} results did not come.`);
        const goals = { 0.5: 3, 0.99: 15 } as const;
        for (const share of [0.5, 0.99] as const) {
          const value = typical(through, share);
          const bare = typical(floor, share);
          const row = {
            what: `QoS ${qos}, ${rate} msg/s: publish to result, p${share * 100}`,
            ...{ value, unit: "ms", against: `broker alone (${bare.toFixed(2)} ms)`, ratio: value / bare },
            ...{ goal: `<= ${goals[share]} ms`, met: value <= goals[share] },
          };
          rows.push(row);
          say(row);
        }
        const whole = percentile(through.delays.flat(), 0.99);
        notes.push(`QoS ${qos}: p99 over all messages, hiccups included: ${whole.toFixed(1)} ms.`);
      } finally {
        await gateway.stop();
      }
    } finally {
      await client.endAsync();
      await broker.stop();
    }
  }
  notes.push(
    `${count} messages each; medians over slices of ${slice}; publisher and subscriber share a process with the clock that measures.`,
  );
  return { name: "latency", machine: machine(), rows, notes };
}
