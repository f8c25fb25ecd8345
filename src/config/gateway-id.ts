import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/**
 * The name of this gateway as the machine's id gives it: `gw-` and 12 hex digits. The id itself must not be told to
 * others (machine-id(5)), hence the hash.
 * @returns undefined on a machine without an id
 */
export function machineGatewayId(file = "/etc/machine-id"): string | undefined {
  let machine: string;
  try {
    machine = readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
  // systemd writes "uninitialized" into images that have not booted yet: all of them would get the same name.
  if (!/^[0-9a-f]{32}$/.test(machine)) return undefined;
  return `gw-${createHash("sha256").update(`tidegate/${machine}`).digest("hex").slice(0, 12)}`;
}
