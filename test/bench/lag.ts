import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended } from "./broker-settings.ts";
import { publish } from "./clients.ts";
import { GatewayProcess, pause } from "./gateway-process.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

const rate = 1_000;
const sampleMs = 1_000;

/** How late the daemon's main thread gets its turn at 1,000 messages a second, with a process that spins on every core. */
export async function lag({ seconds, say }: BenchOptions): Promise<Report> {
  const broker = await startMosquitto({ conf: recommended });
  const cores = availableParallelism();
  const spinners = Array.from({ length: cores }, () =>
    spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
  );
  const rows: Row[] = [];
  try {
    const gateway = await GatewayProcess.start({ url: broker.url, publish: "all" });
    try {
      const sending = publish(broker.port, seconds * rate, 0, rate);
      const isOver = sending.then(() => true);
      const samples: number[] = [];
      // The daemon looks back over a window of time: its start is left out.
      await pause(5_000);
      while (!(await Promise.race([isOver, pause(sampleMs)])))
        samples.push((await gateway.metric('tidegate_event_loop_lag_seconds{quantile="0.99"}')) * 1000);
      const value = median(samples);
      rows.push(
        { what: "event-loop lag, p99, median of looks", value, unit: "ms", goal: "<= 20 ms", met: value <= 20 },
        { what: "event-loop lag, p99, worst look", value: Math.max(...samples), unit: "ms" },
      );
      rows.forEach(say);
      const { inferences, stored } = await gateway.stream();
      const notes = [
        `${cores} spinning processes of the daemon's own priority beside ${rate} msg/s, every result published; ${samples.length} looks at the daemon's own metric; stored ${stored}, inferred ${inferences}.`,
      ];
      return { name: "lag", machine: machine(), rows, notes };
    } finally {
      await gateway.stop();
    }
  } finally {
    for (const spinner of spinners) spinner.kill("SIGKILL");
    await broker.stop();
  }
}
