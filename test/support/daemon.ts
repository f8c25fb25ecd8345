import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { ControlClient } from "../../src/ops/control-client.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");
/** As `bin/tidegate` gives them to Node. */
const launcherFlags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=2", "--heap-growing-percent=50"];

/** A configuration as it stands in YAML. */
export type RawConfig = Record<string, unknown>;

export type LogLine = { readonly level: string; readonly event: string } & Readonly<Record<string, unknown>>;

export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** What `tidegate status` gives, as far as the tests look at it. */
export type Status = {
  readonly site: { readonly isOnline: boolean; readonly sessionsLost: number; readonly connections: number };
  readonly cloud?: { readonly isOnline: boolean } | null;
  readonly health: { readonly parts: Readonly<Record<string, { readonly state: string }>> };
  readonly modelProcess: { readonly pid: number | null; readonly restarts: number };
  readonly commits: number;
  /** Pauses of the link while models or journal were behind, and those that lasted too long. */
  readonly brake: { readonly pauses: number; readonly spent: number };
  readonly streams: Readonly<
    Record<
      string,
      {
        readonly messages: number;
        readonly readings: number;
        readonly stored: number;
        /** Readings that wait for their turn in a replay. */
        readonly behind: number;
        readonly published: number;
        readonly inferences: number;
        readonly lostWindows: { readonly overflow: number; readonly model: number };
        readonly sources: readonly { readonly source: string; readonly verdict: string | null }[];
      }
    >
  >;
};

/** The stream that most tests use: motes of the shipped data set, on the shipped model. */
export const moteStream = {
  topic: "motes/{mote}/env",
  fields: { humidity: "humidity", temperature: "temperature" },
  timestamp: "ts",
  model: "mote-anomaly",
};

/** A gateway's directory with its configuration; the daemon on it can be started, ended and killed as often as liked. */
export class Daemon {
  readonly dir: string;
  readonly dataDir: string;
  readonly #file: string;
  #config: RawConfig;
  #child: ChildProcess | undefined;
  #ended: Promise<Ended> = Promise.resolve({ code: null, signal: null });
  #text = "";
  /** Everything it logged, over all its lives. */
  readonly log: LogLine[] = [];

  /** @param config  what differs from a gateway `gw-1` that stores at once and serves no HTTP */
  constructor(config: RawConfig) {
    this.dir = mkdtempSync(join(tmpdir(), "tidegate-daemon-"));
    this.dataDir = join(this.dir, "data");
    this.#file = join(this.dir, "tidegate.yaml");
    this.#config = config;
    this.configure(config);
  }

  get config(): RawConfig {
    return this.#config;
  }

  /** Writes the configuration; a running daemon reads it at `hangUp`. */
  configure(config: RawConfig): void {
    this.#config = config;
    const { gateway, buffer, ...rest } = config as { gateway?: object; buffer?: object };
    const whole = {
      version: 1,
      gateway: { id: "gw-1", fleet: "test", profile: "generic-x64", dataDir: this.dataDir, ...gateway },
      buffer: { commitMaxDelay: "50ms", minFree: "0%", ...buffer },
      dashboard: { enabled: false },
      ...rest,
    };
    writeFileSync(this.#file, stringify(whole));
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get socket(): string {
    return join(this.dataDir, "control.sock");
  }

  /** What it wrote to standard error in this life. */
  get text(): string {
    return this.#text;
  }

  /** Starts it without waiting for anything. */
  spawn(env: Record<string, string> = {}): void {
    if (this.isRunning) throw new Error("the daemon is running");
    this.#text = "";
    const child = spawn(process.execPath, [...launcherFlags, main, "run", "--config", this.#file], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    this.#ended = once(child, "exit").then(([code, signal]) => ({ code, signal }) as Ended);
    let rest = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.#text = (this.#text + chunk).slice(-200_000);
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("{")) this.log.push(JSON.parse(line) as LogLine);
    });
  }

  /** Starts it and waits until it takes readings; `isConnected` false: until it answers on its control socket. */
  async start({ isConnected = true, env = {} }: { isConnected?: boolean; env?: Record<string, string> } = {}) {
    this.spawn(env);
    await this.eventually((status) => status.site.isOnline || !isConnected, "is ready");
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it has ended by itself. */
  ended(): Promise<Ended> {
    return this.#ended;
  }

  /** SIGTERM; resolves when it has drained and ended. */
  async stop(): Promise<Ended> {
    if (this.isRunning) this.#child?.kill("SIGTERM");
    return this.#ended;
  }

  /** SIGKILL: what it has not written is gone. */
  async kill(): Promise<Ended> {
    if (this.isRunning) this.#child?.kill("SIGKILL");
    return this.#ended;
  }

  /** SIGHUP: it reads its configuration again. */
  hangUp(): void {
    this.#child?.kill("SIGHUP");
  }

  /** SIGSTOP and SIGCONT: it stands still, as on a machine that does. */
  freeze(isFrozen: boolean): void {
    this.#child?.kill(isFrozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Asks the running daemon through its control socket. */
  async ask<T>(method: string, params: Record<string, unknown> = {}, onItem?: (item: unknown) => void): Promise<T> {
    const client = await ControlClient.connect(this.socket);
    try {
      return (await client.call(method, params, onItem ? { onItem } : {})) as T;
    } finally {
      client.close();
    }
  }

  status(): Promise<Status> {
    return this.ask<Status>("status");
  }

  /** Waits until the daemon's status is as wished; fails when it ends first. */
  async eventually(holds: (status: Status) => boolean, what: string, timeoutMs = 60_000): Promise<Status> {
    const end = performance.now() + timeoutMs;
    let last: Status | undefined;
    while (performance.now() < end) {
      if (!this.isRunning) throw new Error(`the daemon ended before it ${what}:\n${this.#text.slice(-4_000)}`);
      // In between it may have no socket yet: that is what is waited for.
      if (existsSync(this.socket)) last = await this.status().catch(() => undefined);
      if (last && holds(last)) return last;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(
      `not within ${timeoutMs} ms: the daemon ${what}; ${this.#cpuSeconds()} s of CPU time; ` +
        `${JSON.stringify(last)}\n${this.#text.slice(-4_000)}`,
    );
  }

  /** User and system: tells one that works from one that stands still. */
  #cpuSeconds(): number {
    const [, rest = ""] = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ");
    const columns = rest.split(" ");
    return (Number(columns[11]) + Number(columns[12])) / 100;
  }

  /** Kills it and removes its directory. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
