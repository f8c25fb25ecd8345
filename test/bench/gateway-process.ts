import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { BufferStats } from "../../src/buffer/commit.ts";
import type { Gateway } from "../../src/gateway.ts";
import { ControlClient } from "../../src/ops/control-client.ts";
import { cpuSeconds, processTree, pssMegabytes } from "./measure.ts";

export type GatewaySettings = {
  readonly url: string;
  readonly qos?: 0 | 1;
  readonly publish?: "all" | "change";
  /** URL of a cloud broker, to which the readings are owed. */
  readonly cloud?: string;
  /** Profile whose commit delay and budgets hold; absent: the one that is detected. */
  readonly profile?: string;
  /** Where the data go; absent: a directory that is removed at the end. */
  readonly dir?: string;
  readonly env?: Readonly<Record<string, string>>;
};

/** Topics and fields as the publisher of the benchmark sends them; everything else is as it ships. */
const configOf = (
  dir: string,
  { url, qos = 0, publish = "change", profile, cloud }: GatewaySettings,
): string => `version: 1
gateway: { id: bench, fleet: bench, dataDir: ${join(dir, "data")}, logLevel: info${profile ? `, profile: ${profile}` : ""} }
sensors: { url: "${url}" }
${cloud === undefined ? "" : `cloud: { url: "${cloud}" }`}
dashboard: { listen: "127.0.0.1:0" }
streams:
  env:
    topic: "bench/{mote}/env"
    qos: ${qos}
    codec: json
    fields: { humidity: humidity, temperature: temperature }
    timestamp: ts
    model: mote-anomaly
    alarm: { silentAfter: 0s }
    publish: { when: ${publish} }
    uplink: ${cloud === undefined ? "none" : "raw"}
`;

type StreamStatus = NonNullable<ReturnType<Gateway["status"]>["streams"][string]>;
type Status = ReturnType<Gateway["status"]>;

/** The launcher, of the tree that scripts/bench.sh lays out as a package is installed: compiled, without sources. */
const launcher = resolve(import.meta.dirname, "../../.cache/bench/bin/tidegate");
const pollMs = 25;
/** Nothing new for so long: what is missing will not come. */
const stallMs = 8_000;

/** The daemon as it ships, in processes of its own, asked through its control socket. */
export class GatewayProcess {
  readonly dir: string;
  readonly #ownsDir: boolean;
  readonly #child: ChildProcess;
  readonly #said: { text: string };
  readonly #control: ControlClient;
  #isStopped = false;

  private constructor(
    dir: string,
    ownsDir: boolean,
    child: ChildProcess,
    said: { text: string },
    control: ControlClient,
  ) {
    this.dir = dir;
    this.#ownsDir = ownsDir;
    this.#child = child;
    this.#said = said;
    this.#control = control;
  }

  /** Resolves when the broker has answered its subscription. */
  static async start(settings: GatewaySettings): Promise<GatewayProcess> {
    const dir = settings.dir ?? mkdtempSync(join(tmpdir(), "tidegate-bench-"));
    const { child, said } = GatewayProcess.spawn(dir, settings);
    const socket = join(dir, "data", "control.sock");
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the gateway ended: ${said.text}`);
      try {
        const control = await ControlClient.connect(socket);
        const gateway = new GatewayProcess(dir, settings.dir === undefined, child, said, control);
        while (!(await gateway.status()).site?.isOnline) await pause(pollMs);
        return gateway;
      } catch {
        await pause(pollMs);
      }
    }
  }

  /** Only starts the process, for who measures the start. */
  static spawn(dir: string, settings: GatewaySettings): { child: ChildProcess; said: { text: string } } {
    mkdirSync(dir, { recursive: true });
    const file = join(dir, "tidegate.yaml");
    writeFileSync(file, configOf(dir, settings));
    const child = spawn(launcher, ["run", "--config", file], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...settings.env },
    });
    const said = { text: "" };
    const hear = (chunk: Buffer) => {
      said.text = (said.text + chunk.toString()).slice(-8_000);
      if (process.env.BENCH_LOG) appendFileSync(process.env.BENCH_LOG, chunk);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    return { child, said };
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What the log said last. */
  get said(): string {
    return this.#said.text;
  }

  cpuSeconds(): number {
    return cpuSeconds(this.pid);
  }

  pssMegabytes(): number {
    return pssMegabytes(this.pid);
  }

  /** Main process and children with the CPU time of each, seconds. */
  cpuByProcess(): { name: string; seconds: number }[] {
    return processTree(this.pid).map((pid) => {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return {
        name: basename(words.find((word) => word.endsWith(".js")) ?? "?"),
        seconds: (Number(fields[11]) + Number(fields[12])) / 100,
      };
    });
  }

  status(): Promise<Status> {
    return this.#control.call("status") as Promise<Status>;
  }

  async stream(): Promise<StreamStatus> {
    const { env } = (await this.status()).streams;
    if (!env) throw new Error("the gateway has no stream");
    return env;
  }

  stats(): Promise<BufferStats> {
    return this.#control.call("buffer.stats") as Promise<BufferStats>;
  }

  /** The value of one line of its metrics, by the line's beginning. */
  async metric(line: string): Promise<number> {
    const url = /"url":"(http:[^"]+)"/.exec(this.#said.text)?.[1];
    if (url === undefined) throw new Error("the gateway has not said where its metrics are");
    const text = await (await fetch(`${url}/metrics`)).text();
    const found = text.split("\n").find((each) => each.startsWith(line));
    if (found === undefined) throw new Error(`there is no metric ${line}`);
    return Number(found.slice(found.lastIndexOf(" ") + 1));
  }

  /** Rows that an export of the database has. */
  async exportedRows(): Promise<number> {
    let rows = 0;
    await this.#control.call("buffer.export", { stream: "env" }, { onItem: () => void rows++ });
    return rows;
  }

  /**
   * Waits until `readings` of them are on disk, inferred, and their results handed to the broker, or nothing more comes.
   * @param windows  inferences that so many readings make
   */
  async finished(
    readings: number,
    windows: number,
  ): Promise<{ status: StreamStatus; at: number; isComplete: boolean }> {
    let last = "";
    let changed = Date.now();
    for (;;) {
      const status = await this.stream();
      const at = Date.now();
      const { stored, inferences, published, results } = status;
      if (stored >= readings && inferences >= windows && published >= results) return { status, at, isComplete: true };
      const now = `${stored} ${inferences} ${published}`;
      if (now !== last) changed = at;
      else if (at - changed > stallMs) return { status, at: changed, isComplete: false };
      last = now;
      await pause(pollMs);
    }
  }

  /** Drains and ends it; the data stay where `dir` was given. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#control.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      await ended;
    }
    if (this.#ownsDir) rmSync(this.dir, { recursive: true, force: true });
  }
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
