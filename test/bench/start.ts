import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish } from "./clients.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

/** From starting the daemon's process to the arrival of its first result, with sensors that send all the time. */
export async function start({ pairs, say }: BenchOptions): Promise<Report> {
  const fresh: number[] = [];
  const again: number[] = [];
  for (let i = 0; i < pairs; i++) {
    const broker = await startMosquitto({ conf: recommended });
    const client = await mqtt.connectAsync(broker.url);
    await client.subscribeAsync("tidegate/bench/results/#");
    const sending = publish(broker.port, 12_000, 0, 1_000);
    const dir = mkdtempSync(join(tmpdir(), "tidegate-start-"));
    try {
      // The second start finds keys, a journal of a second or two, and windows to bring back.
      for (const times of [fresh, again]) {
        const begin = performance.now();
        const result = new Promise<true>((done) => client.once("message", () => done(true)));
        const { child, said } = GatewayProcess.spawn(dir, { url: broker.url, publish: "all" });
        const ended = once(child, "exit").then(() => false);
        if (!(await Promise.race([result, ended]))) throw new Error(`the gateway ended: ${said.text}`);
        times.push(performance.now() - begin);
        await new Promise((done) => setTimeout(done, 1_500));
        child.kill("SIGTERM");
        await ended;
      }
    } finally {
      await sending;
      await client.endAsync();
      await broker.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  }
  const row = (what: string, times: readonly number[]): Row => {
    const value = median(times) / 1000;
    return { what, value, unit: "s", goal: "<= 1.5 s", met: value <= 1.5 };
  };
  const rows = [row("first start to first result", fresh), row("start on a journal to first result", again)];
  rows.forEach(say);
  const notes = ["1,000 msg/s from 4 sources all along; a source's window needs 16 readings, 64 ms here."];
  return { name: "start", machine: machine(), rows, notes };
}
