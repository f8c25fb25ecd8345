import { readdirSync, readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";

/** What the kernel knows of one process. */
export type ProcessFigures = {
  readonly residentBytes: number;
  /** Processor time of all its threads, seconds. */
  readonly cpuSeconds: number;
  /** Bytes that it caused to be written to devices; null where the kernel does not tell. */
  readonly writtenBytes: number | null;
};

/** The kernel tells times to user land in hundredths of a second on every architecture. */
const ticksPerSecond = 100;

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** The number after `name:` in a file of `name: number` lines. */
function lineNumber(text: string, name: string): number | null {
  const digits = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1];
  return digits === undefined ? null : Number(digits);
}

/**
 * Reads a process's figures; null when there is no such process. None of these files is on a disk, so this does not wait.
 *
 * @param proc  where the kernel shows its processes
 */
export function readProcess(pid: number, proc = "/proc"): ProcessFigures | null {
  const status = readText(join(proc, String(pid), "status"));
  const stat = readText(join(proc, String(pid), "stat"));
  if (status === null || stat === null) return null;
  // The second field is the command's name in brackets, which may hold spaces and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const io = readText(join(proc, String(pid), "io")) ?? "";
  const written = lineNumber(io, "write_bytes");
  return {
    residentBytes: (lineNumber(status, "VmRSS") ?? 0) * 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    writtenBytes: written === null ? null : Math.max(0, written - (lineNumber(io, "cancelled_write_bytes") ?? 0)),
  };
}

/** Memory of the machine, bytes: what there is, and what can be had without swapping. Null where the kernel hides it. */
export function readMemory(proc = "/proc"): { totalBytes: number; availableBytes: number } | null {
  const text = readText(join(proc, "meminfo"));
  const total = text === null ? null : lineNumber(text, "MemTotal");
  const available = text === null ? null : lineNumber(text, "MemAvailable");
  return total === null || available === null ? null : { totalBytes: total * 1024, availableBytes: available * 1024 };
}

/** Space of the file system that holds `dir`, bytes; free is what a user who is not root may fill. */
export function readDisk(dir: string): { totalBytes: number; freeBytes: number } {
  const { blocks, bavail, bsize } = statfsSync(dir);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}

/** The hottest place of the board, degrees Celsius; null where it has no sensor. */
export function readTemperature(zones = "/sys/class/thermal"): number | null {
  let names: string[];
  try {
    names = readdirSync(zones).filter((name) => name.startsWith("thermal_zone"));
  } catch {
    return null;
  }
  // A sensor that is off reads as nothing, or as something below absolute zero.
  const celsius = names
    .map((name) => readText(join(zones, name, "temp")))
    .map((text) => (text === null || text.trim() === "" ? Number.NaN : Number(text) / 1000))
    .filter((value) => value > -273 && value < 1000);
  return celsius.length === 0 ? null : Math.max(...celsius);
}

/** Where the device's power comes from; null where it does not tell, as most that are always plugged in. */
export function readPower(supplies = "/sys/class/power_supply"): "mains" | "battery" | null {
  let names: string[];
  try {
    names = readdirSync(supplies);
  } catch {
    return null;
  }
  const said = names.map((name) => ({
    type: readText(join(supplies, name, "type"))?.trim(),
    online: readText(join(supplies, name, "online"))?.trim(),
    status: readText(join(supplies, name, "status"))?.trim(),
  }));
  if (said.some(({ type, online }) => type !== "Battery" && online === "1")) return "mains";
  const batteries = said.filter(({ type }) => type === "Battery");
  if (batteries.length === 0) return null;
  return batteries.some(({ status }) => status === "Discharging") ? "battery" : "mains";
}
