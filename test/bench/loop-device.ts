import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** A file system of its own on a block device of its own, so that the device's counters tell what one program wrote. */
export type LoopDevice = {
  readonly dir: string;
  /** Bytes written to the device so far, the file system's own journal included. */
  written(): number;
  remove(): void;
};

const sectorBytes = 512;
const sizeMiB = 512;

/** @returns null where that may not be done: it takes root and a loop device */
export function mountLoopDevice(): LoopDevice | null {
  const base = mkdtempSync(join(tmpdir(), "tidegate-loop-"));
  const [image, dir] = [join(base, "image"), join(base, "mounted")];
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  let device: string | undefined;
  try {
    mkdirSync(dir);
    run("truncate", "-s", `${sizeMiB}M`, image);
    // Tables made now, or the kernel writes them in the background while others count.
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
    device = run("losetup", "--find", "--show", image);
    run("mount", "-o", "noatime", device, dir);
  } catch {
    if (device) run("losetup", "-d", device);
    rmSync(base, { recursive: true, force: true });
    return null;
  }
  const stat = `/sys/block/${basename(device)}/stat`;
  return {
    dir,
    written: () => {
      run("sync", "-f", dir);
      return Number(readFileSync(stat, "utf8").trim().split(/\s+/)[6]) * sectorBytes;
    },
    remove: () => {
      run("umount", dir);
      run("losetup", "-d", device);
      rmSync(base, { recursive: true, force: true });
    },
  };
}
