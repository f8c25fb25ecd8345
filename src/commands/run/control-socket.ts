import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadedConfig } from "../../config/load.ts";

const runtimeDir = "/run/tidegate";

/** Where verbs find the running daemon. In a file of its own: those that ask need nothing of what the daemon is made of. */
export function controlSocket({ config }: Pick<LoadedConfig, "config">): string {
  if (config.control.socket !== undefined) return config.control.socket;
  const isService = config.gateway.dataDir === "/var/lib/tidegate" && existsSync(runtimeDir);
  return isService ? join(runtimeDir, "control.sock") : join(config.gateway.dataDir, "control.sock");
}
