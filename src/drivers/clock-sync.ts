import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

const askTimeoutMs = 3_000;
const askAgainMs = 300_000;

/** Whether somebody keeps the system's clock (NTP, GPS); null when nobody can say. */
export async function readClockSync(): Promise<boolean | null> {
  // timesyncd's own mark; other services are known to the kernel, which timedatectl asks.
  if (existsSync("/run/systemd/timesync/synchronized")) return true;
  try {
    const words = ["show", "--property=NTPSynchronized", "--value"];
    const { stdout } = await promisify(execFile)("timedatectl", words, { timeout: askTimeoutMs });
    const said = stdout.trim();
    return said === "yes" ? true : said === "no" ? false : null;
  } catch {
    return null;
  }
}

/** The same for those who cannot wait: as it was when it was last asked, in the background. */
export class ClockSync {
  #isKept = false;
  #askedAt: number | undefined;

  isSynchronized = (): boolean => {
    const now = performance.now();
    if (this.#askedAt === undefined || now - this.#askedAt > askAgainMs) void this.ask();
    return this.#isKept;
  };

  async ask(): Promise<void> {
    this.#askedAt = performance.now();
    this.#isKept = (await readClockSync()) === true;
  }
}
