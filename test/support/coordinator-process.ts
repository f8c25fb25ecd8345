import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { FleetStatus } from "../../src/commands/coordinator/fleet-handlers.ts";
import { ControlClient } from "../../src/ops/control-client.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");
export const bundleOf = (name: string): string => resolve(import.meta.dirname, "../../models", name);

export type CoordinatorConfig = Record<string, unknown>;

/** A coordinator's directory with its settings; the process on it can be started, ended and killed as often as liked. */
export class CoordinatorProcess {
  readonly dir: string;
  readonly file: string;
  readonly dataDir: string;
  #child: ChildProcess | undefined;
  #ended: Promise<number | null> = Promise.resolve(null);
  text = "";

  constructor(config: CoordinatorConfig, dataDir?: string) {
    this.dir = mkdtempSync(join(tmpdir(), "tidegate-coordinator-"));
    this.file = join(this.dir, "coordinator.yaml");
    this.dataDir = dataDir ?? join(this.dir, "data");
    this.configure(config);
  }

  configure(config: CoordinatorConfig): void {
    writeFileSync(this.file, stringify({ fleet: "demo", dataDir: this.dataDir, lease: "600ms", ...config }));
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** 0 before the first start. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts it without waiting for anything. */
  spawn(args: readonly string[] = [], flags: readonly string[] = []): void {
    const child = spawn(process.execPath, [...flags, main, "coordinator", "--config", this.file, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    this.#ended = once(child, "exit").then(([code]) => code as number | null);
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.text = (this.text + chunk).slice(-200_000);
    });
  }

  /** Starts it and waits until it has the wanted role. */
  async start(
    role: FleetStatus["role"] = "leading",
    args: readonly string[] = [],
    flags: readonly string[] = [],
  ): Promise<FleetStatus> {
    this.spawn(args, flags);
    return this.until((status) => status.role === role, `is ${role}`);
  }

  async ask<T>(method: string, params: Record<string, unknown> = {}): Promise<T> {
    const client = await ControlClient.connect(join(this.dataDir, "control.sock"));
    try {
      return (await client.call(method, params)) as T;
    } finally {
      client.close();
    }
  }

  status = (): Promise<FleetStatus> => this.ask<FleetStatus>("fleet.status");

  /** Waits until its status is as wished; fails when it ends first. */
  async until(holds: (status: FleetStatus) => boolean, what: string, timeoutMs = 30_000): Promise<FleetStatus> {
    const end = performance.now() + timeoutMs;
    let last: FleetStatus | undefined;
    while (performance.now() < end) {
      if (!this.isRunning) throw new Error(`the coordinator ended before it ${what}:\n${this.text.slice(-4_000)}`);
      last = await this.status().catch(() => undefined);
      if (last && holds(last)) return last;
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`not within ${timeoutMs} ms: ${what}; ${JSON.stringify(last)}\n${this.text.slice(-4_000)}`);
  }

  /** The public key that gateways trust, as the first start prints it. */
  get publicKey(): Uint8Array {
    const [, key] = /"coordinator":"([^"]+)"[^\n]*gateways trust/.exec(this.text) ?? [];
    if (key === undefined) throw new Error(`it printed no key:\n${this.text}`);
    return new Uint8Array(Buffer.from(key, "base64"));
  }

  async stop(): Promise<number | null> {
    if (this.isRunning) this.#child?.kill("SIGTERM");
    return this.#ended;
  }

  async kill(): Promise<void> {
    if (this.isRunning) this.#child?.kill("SIGKILL");
    await this.#ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
