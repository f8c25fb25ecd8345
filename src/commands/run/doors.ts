import { reasonOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { Twin } from "../../control/twin.ts";
import type { Gateway } from "../../gateway.ts";
import { ControlServer } from "../../ops/control-server.ts";
import { HttpServer } from "../../ops/http-server.ts";
import type { Metrics } from "../../ops/metrics.ts";
import { controlHandlers } from "./control-handlers.ts";
import { controlSocket } from "./control-socket.ts";
import type { KeyDesk } from "./key-desk.ts";

export type DoorsOptions = {
  gateway(): Gateway;
  reload(): Promise<unknown>;
  readonly twin: Twin;
  /** Called when they are served for the first time. */
  openMetrics(): Metrics;
  readonly keys: KeyDesk;
  /** The newest lines of the log. */
  recentLog(): readonly string[];
  readonly log: Log;
};

const closeMs = 1_000;

/** Where the daemon is asked from outside: the control socket, and HTTP. Both stay where a reload leaves them. */
export class Doors {
  readonly #options: DoorsOptions;
  #control: { readonly socket: string; readonly server: ControlServer } | undefined;
  /** `listen` as it is configured; null while it is not. */
  #http: { readonly listen: string | null; readonly server: HttpServer | undefined } | undefined;

  #metrics: Metrics | undefined;

  constructor(options: DoorsOptions) {
    this.#options = options;
  }

  /** Absent until they are served. */
  get metrics(): Metrics | undefined {
    return this.#metrics;
  }

  get httpUrl(): string | null {
    return this.#http?.server?.url ?? null;
  }

  /**
   * Opens both as the configuration says; what is open there already stays open.
   * @throws TidegateError when the first control socket cannot be opened; a later one that cannot leaves the old one open
   */
  async open(loaded: LoadedConfig): Promise<void> {
    await this.#openControl(controlSocket(loaded));
    const { enabled, listen } = loaded.config.dashboard;
    await this.#openHttp(enabled ? listen : null);
  }

  async close(): Promise<void> {
    await this.#http?.server?.stop(closeMs);
    await this.#control?.server.stop(closeMs);
  }

  async #openControl(socket: string): Promise<void> {
    const { gateway, reload, twin, keys, recentLog, log } = this.#options;
    const before = this.#control;
    if (before?.socket === socket) return;
    const diagnose = async () => ({ log: recentLog(), metrics: (await this.#metrics?.render()) ?? null });
    const handlers = { ...controlHandlers({ gateway, reload, twin }), ...keys.handlers, "diag.collect": diagnose };
    const server = new ControlServer({ socket, handlers, log });
    try {
      await server.start();
    } catch (thrown) {
      if (!before) throw thrown;
      log.error({ socket, reason: reasonOf(thrown) }, "the new control socket does not open: the old one stays");
      return;
    }
    this.#control = { socket, server };
    if (before) log.info({ socket }, "control socket moved");
    // Whoever asked for the reload is to get the answer: that is still on its way through the old one.
    void before?.server.stop(closeMs);
  }

  async #openHttp(listen: string | null): Promise<void> {
    const { gateway, openMetrics, keys, log } = this.#options;
    // One that could not be opened is tried again.
    if (this.#http?.listen === listen && (listen === null || this.#http.server)) return;
    await this.#http?.server?.stop(closeMs);
    this.#http = { listen, server: undefined };
    if (listen === null) return;
    const metrics = this.#metrics ?? openMetrics();
    this.#metrics = metrics;
    const isTokenValid = (token: string) => keys.isTokenValid(token);
    const server = new HttpServer({ listen, health: () => gateway().health.document, metrics, isTokenValid, log });
    try {
      keys.openToken();
      await server.start();
      this.#http = { listen, server };
      log.info({ url: server.url }, "health and metrics");
      if (!server.isLocal)
        log.warn(
          { url: server.url },
          "HTTP is open to other machines: whoever holds the token (`tidegate keys token`) gets in, and it goes unencrypted",
        );
    } catch (thrown) {
      // A port that is taken is no reason to lose data.
      log.error({ reason: reasonOf(thrown) }, "health and metrics are not served");
    }
  }
}
