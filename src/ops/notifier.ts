import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";

/** A way to hand systemd a message; `src/drivers/notify.ts` has two. */
type Transport = { readonly name: string; send(message: string): Promise<boolean>; close(): void };

/** What systemd told this process about itself. */
export type NotifyEnvironment = {
  /** Absent: not started by systemd, nobody wants to know. */
  readonly socket?: string;
  /** The watchdog bites when it was not petted for so long, ms. Absent: there is none. */
  readonly watchdogMs?: number;
};

/**
 * Takes systemd's variables out of the environment, so that no child takes itself for the daemon.
 *
 * @param env  is changed
 */
export function takeNotifyEnvironment(env: Record<string, string | undefined>, pid: number): NotifyEnvironment {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watchdogPid } = env;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete env[name];
  const watchdogMs = Number(usec) / 1000;
  // The launcher execs, so the process that systemd started is this one; another one's watchdog is not ours to pet.
  const isOurs = watchdogPid === undefined || Number(watchdogPid) === pid;
  return {
    ...(socket ? { socket } : {}),
    ...(isOurs && Number.isFinite(watchdogMs) && watchdogMs > 0 ? { watchdogMs } : {}),
  };
}

export type NotifierOptions = {
  /** Ways to reach systemd, best first; each is opened when those before it have failed. Empty: nobody listens. */
  readonly ways: readonly (() => Promise<Transport>)[];
  readonly clock: Clock;
  readonly log: Log;
  /** No way is left (reason), or one works again (null). */
  onLost(reason: string | null): void;
};

const busyRetries = 40;
const busyPauseMs = 50;
const maxWaiting = 32;
const maxStatusText = 400;

/**
 * Tells systemd of the daemon's life. Messages leave in order and nothing waits for them; one that cannot be handed over
 * by any way is told through `onLost` and never throws: a daemon that lost its notifier goes on working.
 */
export class Notifier {
  readonly #options: NotifierOptions;
  #transport: Transport | undefined;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isLost = false;
  #isClosed = false;

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  /** Start-up is over; also the end of a reload. */
  ready(status: string): Promise<void> {
    return this.#send(["READY=1", statusLine(status)]);
  }

  /** Shutdown begins. */
  stopping(status: string): Promise<void> {
    return this.#send(["STOPPING=1", statusLine(status)]);
  }

  /** The configuration is read again; `ready` ends it. systemd compares the time with that of its request. */
  reloading(status: string): Promise<void> {
    const usec = Math.round(this.#options.clock.monotonic() * 1000);
    return this.#send(["RELOADING=1", `MONOTONIC_USEC=${usec}`, statusLine(status)]);
  }

  /** One line that `systemctl status` shows. */
  status(text: string): Promise<void> {
    return this.#send([statusLine(text)], true);
  }

  /** Pets the watchdog. Whoever calls this has proof that the daemon gets on. */
  watchdog(): Promise<void> {
    return this.#send(["WATCHDOG=1"], true);
  }

  /** Asks for time while start, reload or stop take longer than the unit allows (a long check of the database). */
  extendTimeout(ms: number): Promise<void> {
    return this.#send([`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`]);
  }

  /** Waits until what was sent is handed over, then lets go of the socket. */
  async close(): Promise<void> {
    await this.#last;
    this.#isClosed = true;
    this.#transport?.close();
    this.#transport = undefined;
  }

  #send(lines: readonly string[], isPassing = false): Promise<void> {
    if (this.#isClosed || this.#options.ways.length === 0) return Promise.resolve();
    // A newer pet or status says the same and more: these may be left out while systemd is slow.
    if (isPassing && this.#waiting >= maxWaiting) return Promise.resolve();
    this.#waiting++;
    this.#last = this.#last
      .then(() => this.#deliver(lines.join("\n")))
      .catch((thrown: unknown) => this.#lost(reasonOf(thrown)))
      .finally(() => this.#waiting--);
    return this.#last;
  }

  async #deliver(message: string): Promise<void> {
    const reasons: string[] = [];
    if (this.#transport !== undefined) {
      try {
        return await this.#handOver(this.#transport, message);
      } catch (thrown) {
        reasons.push(`${this.#transport.name}: ${reasonOf(thrown)}`);
        this.#transport.close();
        this.#transport = undefined;
      }
    }
    for (const open of this.#options.ways) {
      try {
        const transport = await open();
        try {
          await this.#handOver(transport, message);
          this.#transport = transport;
          return;
        } catch (thrown) {
          transport.close();
          reasons.push(`${transport.name}: ${reasonOf(thrown)}`);
        }
      } catch (thrown) {
        reasons.push(reasonOf(thrown));
      }
    }
    this.#lost(reasons.join("; "));
  }

  async #handOver(transport: Transport, message: string): Promise<void> {
    for (let tries = 0; !(await transport.send(message)); tries++) {
      if (tries >= busyRetries) throw new Error("systemd takes no messages");
      await sleep(busyPauseMs);
    }
    if (!this.#isLost) return;
    this.#isLost = false;
    this.#options.log.info({ way: transport.name }, "systemd is told again");
    this.#options.onLost(null);
  }

  #lost(reason: string): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#options.log.error({ reason }, "systemd cannot be told: no way to its notification socket");
    this.#options.onLost(reason);
  }
}

/** Line breaks would begin another variable. */
const statusLine = (text: string): string => `STATUS=${text.replace(/\s+/g, " ").slice(0, maxStatusText)}`;
