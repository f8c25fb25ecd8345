import type { PartRule } from "./health.ts";
import { loopPart } from "./heartbeat.ts";

/**
 * The parts of the gateway daemon and what depends on each. The watchdog bites for the three vital ones alone:
 *
 * - `loop`: when the main thread stands still no beat comes, so nothing is petted.
 * - `journal`: a thread that waits for a slow or failing disk is degraded, and decisions go on without it; only after
 *   five minutes without a sign is it taken for dead, since a restart could not open the same disk any sooner.
 * - `models`: the model process is restarted by its host within seconds; a minute without a sign means the host is ill.
 *
 * Brokers, their certificates, disk, training and notifier are optional: none of them is mended by a restart.
 */
export const daemonParts: readonly PartRule[] = [
  { name: loopPart, need: "vital" },
  { name: "journal", need: "vital", slowMs: 5_000, stallMs: 300_000 },
  { name: "models", need: "vital", slowMs: 5_000, stallMs: 60_000 },
  { name: "configuration", need: "required" },
  { name: "keys", need: "required" },
  { name: "disk", need: "optional" },
  { name: "site", need: "optional" },
  { name: "cloud", need: "optional" },
  { name: "uplink", need: "optional" },
  { name: "certificates", need: "optional" },
  { name: "training", need: "optional" },
  { name: "notifier", need: "optional" },
];
