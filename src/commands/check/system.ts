import { arch, release } from "node:os";
import { renderBytes } from "../../base/units.ts";
import { detectProfile, type Profile, requireSupportedSystem } from "../../config/profile.ts";
import { readClockSync } from "../../drivers/clock-sync.ts";
import { readMemory } from "../../drivers/host.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** No gateway of this kind ran before: a clock that says so has not been set. */
const clockFloor = Date.UTC(2024, 0, 1);

export function checkSystem(): Finding {
  try {
    requireSupportedSystem();
    return ok("system", `64-bit ${arch()}, Linux ${release()}, Node ${process.version}`);
  } catch (thrown) {
    return fail("system", thrown);
  }
}

/** Whether memory holds what the profile plans with; without a configuration: the profile that fits best. */
export function checkMemory(profile: Profile, memory = readMemory()): Finding {
  const budget = profile.memoryMiB * 2 ** 20;
  const plan = `profile ${profile.name} plans with ${renderBytes(budget)}`;
  if (memory === null) return warn("memory", `the kernel does not tell; ${plan}`, "Mount /proc where Tidegate runs.");
  const { totalBytes, availableBytes } = memory;
  const detail = `${renderBytes(availableBytes)} available of ${renderBytes(totalBytes)}; ${plan}`;
  if (totalBytes < budget) {
    const remedy = `Set gateway.profile to auto (${detectProfile()} fits this device), or use a device with more memory.`;
    return { name: "memory", level: "fail", detail, remedy };
  }
  if (availableBytes < budget)
    return warn("memory", detail, "Stop what else runs here, or expect training to be put off.");
  return ok("memory", detail);
}

/** What is known of the clock: `null` when nobody can say whether it is kept by a time server. */
export type ClockState = { readonly now: number; readonly isSynchronized: boolean | null };

export async function readClock(): Promise<ClockState> {
  return { now: Date.now(), isSynchronized: await readClockSync() };
}

export function checkClock({ now, isSynchronized }: ClockState): Finding {
  const time = new Date(now).toISOString();
  if (now < clockFloor) {
    const remedy = "Set the clock (`timedatectl set-ntp true`); a device without network needs a battery-backed clock.";
    const detail = `it says ${time}: it has not been set. Readings are stored and marked; TLS will not trust brokers`;
    return { name: "clock", level: "fail", detail, remedy };
  }
  if (isSynchronized) return ok("clock", `${time}, kept by a time server`);
  const detail = isSynchronized === null ? "whether a time server keeps it cannot be told" : "no time server keeps it";
  return warn(
    "clock",
    `${time}: ${detail}`,
    "`timedatectl set-ntp true`, or let another service keep it (chrony, a GPS clock): readings without a time of their own get this one.",
  );
}
