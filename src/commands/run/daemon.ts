import type { Clock } from "../../base/clock.ts";
import { reasonOf } from "../../base/errors.ts";
import { within } from "../../base/lifecycle.ts";
import type { BufferStats } from "../../buffer/commit.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { Twin } from "../../control/twin.ts";
import type { KeyRing, KeyRingOptions } from "../../crypto/key-ring.ts";
import { commandTransport, openSocketTransport } from "../../drivers/notify.ts";
import { Gateway } from "../../gateway.ts";
import { Heartbeat } from "../../ops/heartbeat.ts";
import type { LogLevel, ProcessLog } from "../../ops/log.ts";
import { LoopLag } from "../../ops/loop-lag.ts";
import { Metrics } from "../../ops/metrics.ts";
import { Notifier, takeNotifyEnvironment } from "../../ops/notifier.ts";
import { askForPatience } from "../../ops/patience.ts";
import { Doors } from "./doors.ts";
import { KeyDesk } from "./key-desk.ts";
import { metricSources } from "./metric-sources.ts";
import { vitalsOf } from "./vitals.ts";

export type DaemonOptions = {
  /** Reads the configuration, now and at every reload. */
  readonly twin: Twin;
  /** Where the keys are, and what opens them. */
  readonly place: KeyRingOptions;
  readonly keys: KeyRing;
  readonly version: string;
  readonly clock: Clock;
  readonly log: ProcessLog;
  readonly credentialsDir?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
};

const beatMs = 5_000;
const statsEveryMs = 10_000;
const reloadDrainMs = 10_000;

/** The process around a gateway: what systemd, Prometheus and the command line see of it. */
export class Daemon {
  readonly #options: DaemonOptions;
  readonly #notifier: Notifier;
  readonly #lag = new LoopLag();
  #gateway: Gateway;
  readonly #doors: Doors;
  #heartbeat: Heartbeat | undefined;
  #stats: BufferStats | null = null;
  #statsTimer: NodeJS.Timeout | undefined;
  #reloading: Promise<unknown> = Promise.resolve();
  #signal = new AbortController().signal;
  readonly #failed = Promise.withResolvers<never>();
  #config: LoadedConfig;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#failed.promise.catch(() => {});
    this.#config = options.twin.load();
    this.#doors = new Doors({
      gateway: () => this.#gateway,
      reload: () => this.reload(),
      twin: options.twin,
      openMetrics: () => this.#newMetrics(),
      keys: new KeyDesk(options.place),
      recentLog: () => options.log.recent,
      log: options.log,
    });
    this.#gateway = this.#newGatewayOrWithout();
    const { socket } = takeNotifyEnvironment({ ...options.env }, process.pid);
    this.#notifier = new Notifier({
      ways: socket ? [() => openSocketTransport(socket), async () => commandTransport(socket)] : [],
      clock: options.clock,
      log: options.log,
      onLost: (reason) => {
        if (reason === null) this.#gateway.health.ready("notifier");
        else this.#gateway.health.degrade("notifier", reason);
      },
    });
    // Children must not take themselves for the daemon.
    takeNotifyEnvironment(process.env, process.pid);
  }

  get gateway(): Gateway {
    return this.#gateway;
  }

  /** Rejects when there is no gateway any more: after a reload neither the new nor the old configuration starts. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  get httpUrl(): string | null {
    return this.#doors.httpUrl;
  }

  /** A reload that is asked for meanwhile waits: it would take the journal away from a gateway that is starting. */
  start(signal: AbortSignal): Promise<void> {
    const starting = this.#start(signal);
    this.#reloading = starting;
    return starting;
  }

  async #start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#lag.start();
    try {
      await this.#startGateway();
    } catch (thrown) {
      // A start that is told to end fails; that says nothing of what it would start.
      signal.throwIfAborted();
      await this.#startWithout(thrown);
    }
    signal.throwIfAborted();
    await this.#doors.open(this.#config);
    this.#beat();
    this.#statsTimer = setInterval(() => void this.#look(), statsEveryMs);
    await this.#look();
    await this.#notifier.ready(this.#gateway.health.summary);
    this.#options.twin.attach({
      apply: () => this.reload(),
      vitals: () => vitalsOf(this.#gateway),
      changed: (outcome) => void this.#gateway.trust.twin?.changed(outcome),
    });
  }

  /** What came from afar never keeps the gateway from starting. */
  async #startWithout(thrown: unknown): Promise<void> {
    const { twin, log } = this.#options;
    if (this.#signal.aborted || !(await twin.startFailed(thrown))) throw thrown;
    log.error({ reason: reasonOf(thrown) }, "the gateway does not start with the configuration from afar: without it");
    this.#config = twin.load();
    this.#gateway = this.#newGateway();
    await this.#startGateway();
  }

  async #startGateway(): Promise<void> {
    const gateway = this.#gateway;
    const end = askForPatience(
      () => gateway.journal.progress.answers + gateway.status().modelProcess.progress,
      (ms) => void this.#notifier.extendTimeout(ms),
    );
    try {
      await gateway.start(this.#signal);
    } finally {
      end();
    }
  }

  /** Reads the configuration again. @returns why the old one stays, where the new one has faults or does not start */
  reload(): Promise<string | null> {
    const reloaded = this.#reloading.then(() => this.#reload());
    // Whoever asks need not look at the answer: what it cannot go on with is told by `failed`.
    reloaded.catch(() => {});
    this.#reloading = reloaded;
    return reloaded;
  }

  async #reload(): Promise<string | null> {
    const { log, twin } = this.#options;
    let next: LoadedConfig;
    try {
      next = twin.load();
    } catch (thrown) {
      log.error({ error: thrown }, "the configuration has faults: the old one stays");
      return reasonOf(thrown);
    }
    const { dataDir } = this.#config.config.gateway;
    if (next.config.gateway.dataDir !== dataDir) {
      // Keys, lock and journal are those of the directory that is open.
      log.error(
        { dataDir, wanted: next.config.gateway.dataDir },
        "gateway.dataDir changes with a restart only: the old configuration stays",
      );
      return "gateway.dataDir changes with a restart only";
    }
    await this.#notifier.reloading("reading the configuration again");
    const before = this.#config;
    let fault: string | null = null;
    // Sources hold their session with the broker: what arrives meanwhile waits there.
    await this.#gateway.stop(reloadDrainMs);
    this.#config = next;
    try {
      this.#gateway = this.#newGateway();
      await this.#startGateway();
      log.level = next.config.gateway.logLevel as LogLevel;
      await this.#doors.open(next);
      log.info({ file: next.file }, "configuration reloaded");
    } catch (thrown) {
      fault = reasonOf(thrown);
      log.error({ reason: fault }, "the new configuration does not start: back to the old one");
      this.#config = before;
      this.#gateway = this.#newGateway();
      try {
        await this.#startGateway();
      } catch (again) {
        this.#failed.reject(again);
        throw again;
      }
    }
    this.#beat();
    await this.#notifier.ready(this.#gateway.health.summary);
    return fault;
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#notifier.stopping("draining");
    this.#options.twin.detach();
    // A start that takes long fails when what it waits for is stopped.
    await within(this.#reloading, deadlineMs / 4, "the start").catch(() => {});
    clearInterval(this.#statsTimer);
    this.#lag.stop();
    await this.#heartbeat?.stop();
    await this.#doors.close();
    await this.#gateway.stop(deadlineMs);
    await this.#notifier.close();
  }

  #newMetrics(): Metrics {
    const { version, log } = this.#options;
    const { dataDir } = this.#config.config.gateway;
    const sources = metricSources(
      () => this.#gateway,
      version,
      dataDir,
      () => this.#stats,
      this.#lag,
    );
    return new Metrics({ sources, log });
  }

  /** A secret or a policy that an overlay names may not be there: the overlay goes, the gateway does not. */
  #newGatewayOrWithout(): Gateway {
    const { twin, log } = this.#options;
    try {
      return this.#newGateway();
    } catch (thrown) {
      if (twin.overlay === null) throw thrown;
      log.error({ reason: reasonOf(thrown) }, "the configuration from afar cannot be used: it is left out");
      twin.leaveOut();
      this.#config = twin.load();
      return this.#newGateway();
    }
  }

  #newGateway(): Gateway {
    const { keys, version, clock, log, credentialsDir, twin } = this.#options;
    const observe = {
      commit: (seconds: number) => this.#doors.metrics?.observer("tidegate_commit_duration_seconds")(seconds),
      inference: (model: string, seconds: number) =>
        this.#doors.metrics?.observer("tidegate_inference_duration_seconds", [model])(seconds),
      latency: (stream: string, seconds: number) =>
        this.#doors.metrics?.observer("tidegate_result_latency_seconds", [stream])(seconds),
    };
    return new Gateway({ config: this.#config.config, keys, version, clock, log, credentialsDir, twin, observe });
  }

  #beat(): void {
    void this.#heartbeat?.stop();
    const gateway = this.#gateway;
    this.#heartbeat = new Heartbeat({
      health: gateway.health,
      probes: { journal: () => gateway.journal.ping(), models: () => gateway.pingModels() },
      intervalMs: beatMs,
      clock: this.#options.clock,
      pet: () => void this.#notifier.watchdog(),
      onSummary: (text) => void this.#notifier.status(text),
    });
    void this.#heartbeat.start();
  }

  async #look(): Promise<void> {
    this.#stats = await this.#gateway.journal.stats().catch(() => this.#stats);
  }
}
