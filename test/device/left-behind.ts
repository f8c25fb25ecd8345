import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reasonOf } from "../../src/base/errors.ts";
import { integrityOf, readStored } from "../support/daemon-journal.ts";
import { dataDisk } from "./installation.ts";

export type LeftBehind = {
  /** What `PRAGMA integrity_check` says of buffer.db and state.db; empty when they do not open. */
  readonly integrity: readonly string[];
  readonly fault: string | null;
  /** Sensor times of the readings in the journal. */
  readonly times: readonly number[];
};

/**
 * Looks at the data of a machine that is off, in a copy: its file system's log is replayed as a boot would, then the
 * journal is opened as the daemon would.
 */
export async function look(data: string): Promise<LeftBehind> {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-left-"));
  try {
    const disk = dataDisk(join(folder, "disk.img"), data);
    const { status, stdout } = spawnSync("e2fsck", ["-p", disk], { encoding: "utf8" });
    // 1 says that something was put right: the log was replayed.
    if (status === null || status > 1) return { integrity: [], fault: `e2fsck: ${stdout}`, times: [] };
    execFileSync("debugfs", ["-R", `rdump / ${folder}`, disk], { stdio: ["ignore", "ignore", "pipe"] });
    execFileSync("chown", ["-R", `${process.getuid?.()}`, folder]);
    const integrity = integrityOf(folder).map(String);
    const { readings } = await readStored(folder, "env", ["humidity", "temperature"]);
    return { integrity, fault: null, times: readings.map(({ ts }) => ts) };
  } catch (thrown) {
    return { integrity: [], fault: reasonOf(thrown), times: [] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
