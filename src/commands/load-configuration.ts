import { existsSync } from "node:fs";
import type { Tree } from "../config/layers.ts";
import { defaultFile, type LoadedConfig, loadConfig } from "../config/load.ts";
import type { Io } from "./verb.ts";

/** The configuration that a verb works on: `--config`, else `TIDEGATE_CONFIG`, else ./tidegate.yaml, else /etc's. */
export function loadFor(
  io: Io,
  options: { config?: string },
  flags: Record<string, unknown> = {},
  remote: Tree | null = null,
): LoadedConfig {
  return loadConfig({ file: configFile(io, options), env: io.env, flags, remote });
}

export function configFile(io: Io, { config }: { config?: string }): string {
  const near = "tidegate.yaml";
  return config ?? io.env.TIDEGATE_CONFIG ?? (existsSync(near) ? near : defaultFile);
}
