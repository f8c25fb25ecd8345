import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { Commit } from "../../src/buffer/commit.ts";
import { Store } from "../../src/buffer/store.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { commitOf } from "../support/frames.ts";

const launcher = resolve(import.meta.dirname, "../../bin/tidegate");

export type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

/** Runs a command line as a user does: the launcher, through sh. */
export function tidegate(...words: string[]): Promise<Ran> {
  return shell('exec sh "$0" "$@"', words);
}

/** Runs a line of sh in which `"$0" "$@"` are the launcher and `words`. */
export function shell(line: string, words: readonly string[] = [], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((done, fail) => {
    const child = spawn("sh", ["-c", line, launcher, ...words], {
      env: { ...process.env, TIDEGATE_CONFIG: undefined, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.once("error", fail);
    child.once("close", (code) =>
      done({ code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }),
    );
  });
}

/** The last line of what a verb printed with `--json`. */
export const jsonOf = <T>({ out }: Ran): T => JSON.parse(out.trim().split("\n").at(-1) ?? "") as T;

/** A gateway's directory with a configuration, as the verbs of the command line find it. */
export class Site {
  readonly dir = mkdtempSync(join(tmpdir(), "tidegate-verbs-"));
  readonly file = join(this.dir, "tidegate.yaml");
  readonly dataDir = join(this.dir, "data");

  constructor(config: Record<string, unknown> = {}) {
    this.configure(config);
  }

  configure(config: Record<string, unknown>): void {
    const whole = {
      version: 1,
      gateway: { id: "gw-1", fleet: "test", profile: "generic-x64", dataDir: "./data" },
      sensors: { url: "mqtt://127.0.0.1:1" },
      streams: { env: { topic: "motes/{mote}/env", fields: { temperature: "temperature", humidity: "humidity" } } },
      buffer: { minFree: "0%" },
      dashboard: { enabled: false },
      ...config,
    };
    writeFileSync(this.file, stringify(whole));
  }

  /** Runs a verb with `--config`. */
  run(...words: string[]): Promise<Ran> {
    return tidegate(...words, "--config", this.file);
  }

  /** Opens the journal as a daemon has it open; `close` it. */
  openStore(): Store {
    const { storageRoot } = openKeyRing({ dataDir: this.dataDir });
    const keep = { maxBytes: 2 ** 40, maxAge: Number.MAX_SAFE_INTEGER, priority: 5 };
    const streams = [{ name: "env", fields: ["temperature", "humidity"], keep }];
    const limits = { maxBytes: 2 ** 40, minFree: { bytes: 0 } };
    return new Store(
      { dir: this.dataDir, storageRoot, streams, limits, blockReadings: 1_024, synchronous: "OFF" },
      () => {},
    );
  }

  store(...commits: Partial<Commit>[]): void {
    const store = this.openStore();
    for (const commit of commits) store.commit(commitOf(commit));
    store.close();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
