import { ControlClient } from "../../ops/control-client.ts";
import { fleetSocket, readFleetSettings } from "../coordinator/settings.ts";
import type { Io } from "../verb.ts";

export type FleetOptions = { config?: string; json?: boolean };

export const coordinatorOption = [
  "--config <file>",
  "settings of the coordinator (default: ./coordinator.yaml, else /etc/tidegate/coordinator.yaml)",
] as const;

/** Asks the running coordinator. @throws TidegateError CONTROL_UNAVAILABLE, and what the method raises */
export async function ask<T>(
  io: Io,
  options: FleetOptions,
  method: string,
  params: Record<string, unknown> = {},
): Promise<T> {
  const client = await ControlClient.connect(fleetSocket(readFleetSettings(options.config)));
  try {
    return (await client.call(method, params, { signal: io.signal })) as T;
  } finally {
    client.close();
  }
}
