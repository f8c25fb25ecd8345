import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const crash = resolve(import.meta.dirname, "../crash");
const writer = join(crash, "power-cut-writer.ts");

/** One life of the writer: up to which round it commits, and how it ends. */
export type Life = { readonly upTo: number; readonly end: "kill" | "close" };

/** A directory that the writer works on under the shim, and the trace of it. */
export type Recording = { readonly dir: string; readonly trace: string; remove(): void };

export type Shim = { readonly library: string; remove(): void };

/** Why the tests are left out where `compileShim` gives null. */
export const compilerMissing = "a C compiler is needed: sudo apt-get install gcc libc6-dev";

/** The shim, compiled; null where no compiler is. */
export function compileShim(): Shim | null {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-shim-"));
  const library = join(folder, "record-writes.so");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const source = join(crash, "shim/record-writes.c");
  for (const compiler of ["cc", "gcc", "clang"])
    try {
      execFileSync(compiler, ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl", "-lpthread"], {
        stdio: "pipe",
      });
      return { library, remove };
    } catch (thrown) {
      // A compiler that is there and does not take the shim is a fault, not a reason to leave the test out.
      if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    }
  remove();
  return null;
}

/** What a process needs in its environment to be recorded. @param port  TCP: what is sent to it is recorded as well */
export const recordingEnv = ({ library }: Shim, dir: string, trace: string, port?: number): Record<string, string> => ({
  LD_PRELOAD: library,
  POWER_CUT_DIR: dir,
  POWER_CUT_TRACE: trace,
  ...(port === undefined ? {} : { POWER_CUT_PORT: `${port}` }),
});

/**
 * Lets the journal's writer live so many lives, one after the other, on one directory.
 * @param failEach  every so manieth fdatasync fails
 */
export const record = (
  shim: Shim,
  synchronous: "FULL" | "OFF",
  lives: readonly Life[],
  failEach = 0,
): Promise<Recording> =>
  recordRuns(
    shim,
    lives.map(({ upTo, end }) => ({ script: writer, words: [synchronous, `${upTo}`, end], end })),
    failEach,
  );

/** A script that is run on the directory, its first word, and how it is to end. */
export type Run = { readonly script: string; readonly words: readonly string[]; readonly end: Life["end"] };

/** Runs scripts under the shim, one after the other, on one directory. */
export async function recordRuns(shim: Shim, runs: readonly Run[], failEach = 0): Promise<Recording> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "tidegate-recording-")));
  const [dir, trace] = [join(folder, "data"), join(folder, "trace")];
  mkdirSync(dir);
  for (const { script, words, end } of runs) {
    const child = spawn(process.execPath, [script, dir, ...words], {
      env: { ...process.env, ...recordingEnv(shim, dir, trace), POWER_CUT_FAIL: `${failEach}` },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const [code, signal] = await once(child, "close");
    if (end === "kill" ? signal !== "SIGKILL" : code !== 0)
      throw new Error(`the writer ended with ${code ?? signal}: ${said.slice(-4_000)}`);
    if (!existsSync(trace)) throw new Error("the shim was not loaded: there is no trace");
  }
  return { dir, trace, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
