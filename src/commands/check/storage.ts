import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf } from "../../base/errors.ts";
import { renderBytes, renderDuration } from "../../base/units.ts";
import type { Config } from "../../config/config.ts";
import { readDisk } from "../../drivers/host.ts";
import { type Finding, ok, warn } from "./finding.ts";

/** File systems that forget everything when the power goes: tmpfs, ramfs. */
const inMemory: readonly number[] = [0x01021994, 0x858458f6];
/** What a commit of a few readings writes. */
const pieceBytes = 8_192;
const pieces = 9;

/** The folder itself, or the nearest above it that is there. */
export function nearestFolder(dir: string): string {
  return existsSync(dir) || dirname(dir) === dir ? dir : nearestFolder(dirname(dir));
}

export function checkSpace({ gateway, buffer }: Pick<Config, "gateway" | "buffer">): Finding {
  const { totalBytes, freeBytes } = readDisk(nearestFolder(gateway.dataDir));
  const reserve = "percent" in buffer.minFree ? (totalBytes * buffer.minFree.percent) / 100 : buffer.minFree.bytes;
  const usable = freeBytes - reserve;
  const free = `${renderBytes(freeBytes)} free of ${renderBytes(totalBytes)}`;
  if (usable <= 0)
    return {
      name: "disk space",
      level: "fail",
      detail: `${free}, and buffer.minFree reserves ${renderBytes(reserve)}: nothing can be stored`,
      remedy: "Make room on the disk, choose another gateway.dataDir, or lower buffer.minFree.",
    };
  if (usable < buffer.maxBytes)
    return warn(
      "disk space",
      `${free}: the buffer may take ${renderBytes(buffer.maxBytes)}, and there is room for ${renderBytes(usable)}`,
      `Set buffer.maxBytes to what there is; until then the oldest readings go when ${renderBytes(usable)} are full.`,
    );
  return ok("disk space", `${free}; the buffer may take ${renderBytes(buffer.maxBytes)}`);
}

/** Writes and syncs as commits do, and tells how long the disk takes. */
export function checkWriting({ gateway, buffer }: Pick<Config, "gateway" | "buffer">): Finding {
  const name = "disk writing";
  const dir = nearestFolder(gateway.dataDir);
  let times: number[];
  try {
    times = measureSync(join(dir, `.check-${process.pid}.lock`));
  } catch (thrown) {
    return {
      name,
      level: "fail",
      detail: `${dir} cannot be written: ${reasonOf(thrown)}`,
      remedy:
        "Run this as the user that runs Tidegate, and give that user the folder (`chown`); look for a read-only mount.",
    };
  }
  const typical = times[Math.floor(times.length / 2)] ?? 0;
  const worst = times.at(-1) ?? 0;
  const isNew = dir === gateway.dataDir ? "" : ` (${gateway.dataDir} is not there yet)`;
  const detail = `${dir}${isNew}: a commit takes ${milliseconds(typical)}, at worst ${milliseconds(worst)}`;
  if (inMemory.includes(statfsSync(dir).type))
    return warn(
      name,
      `${detail}; it is memory, not a disk`,
      "Choose a gateway.dataDir on a disk: a power cut takes all of it.",
    );
  if (typical > buffer.commitMaxDelay)
    return warn(
      name,
      `${detail}; buffer.commitMaxDelay is ${renderDuration(buffer.commitMaxDelay)}`,
      "Commits come faster than the disk takes them: raise buffer.commitMaxDelay, or look whether the card is worn.",
    );
  return ok(name, detail);
}

/** @returns how long each write with its sync took, ascending, ms */
function measureSync(file: string): number[] {
  const piece = Buffer.alloc(pieceBytes, 0x5a);
  const descriptor = openSync(file, "wx", 0o600);
  try {
    const times = Array.from({ length: pieces }, () => {
      const start = performance.now();
      writeSync(descriptor, piece);
      fsyncSync(descriptor);
      return performance.now() - start;
    });
    return times.sort((a, b) => a - b);
  } finally {
    closeSync(descriptor);
    rmSync(file, { force: true });
  }
}

const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
