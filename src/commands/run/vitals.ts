import type { Vitals } from "../../control/trial-verdict.ts";
import { readProcess } from "../../drivers/host.ts";
import type { Gateway } from "../../gateway.ts";

/** How the gateway does, on average since it was started with its configuration. */
export function vitalsOf(gateway: Gateway): Vitals {
  const { health, site, cloud, streams, modelProcess } = gateway.status();
  const seconds = Math.max(1, health.uptimeMs / 1000);
  let [messages, inferences, faults] = [0, 0, 0];
  for (const stream of Object.values(streams)) {
    messages += stream.messages;
    inferences += stream.inferences;
    faults += stream.dead + Object.values(stream.lostWindows).reduce((sum, n) => sum + n, 0);
  }
  const pids = [process.pid, ...(modelProcess.pid === undefined ? [] : [modelProcess.pid])];
  return {
    seconds,
    isHealthy: health.isHealthy,
    siteOnline: site?.isOnline ?? false,
    cloudOnline: cloud?.isOnline ?? null,
    messagesPerSecond: messages / seconds,
    inferencesPerSecond: inferences / seconds,
    faultShare: messages === 0 ? 0 : faults / messages,
    memoryBytes: pids.reduce((sum, pid) => sum + (readProcess(pid)?.residentBytes ?? 0), 0),
  };
}
