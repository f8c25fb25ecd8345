import { once, setMaxListeners } from "node:events";
import { lstatSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { type ControlReply, type ControlRequest, maxLineBytes, parseRequest, readLines } from "./control-lines.ts";
import { redact } from "./redaction.ts";

export type ControlContext = {
  /** Aborts when the client has gone or the daemon stops. */
  readonly signal: AbortSignal;
  /** Sends one item ahead of the result; wait for it, so that a slow reader slows the work and fills no memory. */
  emit(item: unknown): Promise<void>;
};

/** Answers one method. What it returns becomes the result (undefined: null); a TidegateError becomes the error. */
export type ControlHandler = (params: Record<string, unknown>, context: ControlContext) => Promise<unknown>;

export type ControlServerOptions = {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  readonly log: Log;
  readonly maxConnections?: number;
  /** Requests of one connection that run at once. */
  readonly maxRequests?: number;
};

/** `struct sockaddr_un` holds 108 bytes with the closing zero. */
const maxPathBytes = 107;
const maxStaleRounds = 3;
const goneProbeMs = 500;
/** Owner and group may talk, nobody else: whoever reaches the socket may command the daemon. */
const socketUmask = 0o117;

/**
 * The daemon's control socket: newline JSON, `{id, method, params}` answered by `{id, item}`… and `{id, result}` or
 * `{id, error}`; an empty line means nothing. Who may connect is the file system's to say (mode 0660).
 */
export class ControlServer implements Component {
  readonly name = "control socket";
  readonly #options: ControlServerOptions;
  readonly #connections = new Map<Socket, AbortController>();
  #server: Server | undefined;

  constructor(options: ControlServerOptions) {
    this.#options = options;
  }

  /** @throws TidegateError SOCKET_IN_USE (75), SOCKET_UNUSABLE (78) */
  async start(): Promise<void> {
    const { socket } = this.#options;
    if (Buffer.byteLength(socket) > maxPathBytes) {
      throw new TidegateError("SOCKET_UNUSABLE", { socket, reason: "its path is too long" });
    }
    for (let round = 0; ; round++) {
      try {
        this.#server = await this.#listen();
        return;
      } catch (thrown) {
        if ((thrown as { code?: string }).code !== "EADDRINUSE" || round >= maxStaleRounds) {
          throw new TidegateError("SOCKET_UNUSABLE", { socket, reason: reasonOf(thrown) }, { cause: thrown });
        }
        await this.#removeStale();
      }
    }
  }

  /** Takes no more requests, aborts those that run, and closes what is left at the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const abort of this.#connections.values()) abort.abort();
    const late = new AbortController();
    await Promise.race([closed, sleep(deadlineMs * 0.8, late.signal)]);
    late.abort();
    for (const socket of this.#connections.keys()) socket.destroy();
    await closed;
  }

  async #listen(): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
    // The socket is bound within `listen`, so there is no moment in which others could connect.
    const before = process.umask(socketUmask);
    try {
      server.listen(this.#options.socket);
    } finally {
      process.umask(before);
    }
    await once(server, "listening");
    // Too many open files, for one: this connection is lost, the next may be taken.
    server.on("error", (error) => this.#options.log.warn({ reason: error.message }, "control connection not taken"));
    return server;
  }

  /** A daemon that was killed leaves its socket behind; one that lives answers it. */
  async #removeStale(): Promise<void> {
    const { socket: path, log } = this.#options;
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
      throw new TidegateError("SOCKET_UNUSABLE", { socket: path, reason: "there is something that is no socket" });
    }
    const probe = createConnection(path);
    try {
      await once(probe, "connect");
    } catch (thrown) {
      const { code } = thrown as { code?: string };
      if (code === "ENOENT") return;
      if (code !== "ECONNREFUSED")
        throw new TidegateError("SOCKET_UNUSABLE", { socket: path, reason: reasonOf(thrown) });
      unlinkSync(path);
      log.info({ socket: path }, "socket of a daemon that is gone removed");
      return;
    } finally {
      probe.destroy();
    }
    throw new TidegateError("SOCKET_IN_USE", { socket: path });
  }

  async #serve(socket: Socket): Promise<void> {
    const { log, maxConnections = 32 } = this.#options;
    // A client that goes away in mid-sentence is no fault.
    socket.on("error", (error) => log.debug({ reason: error.message }, "control connection broke"));
    if (this.#server === undefined || this.#connections.size >= maxConnections) {
      const error = new TidegateError("CONTROL_BUSY", { what: "connections", limit: maxConnections }).toJSON();
      socket.write(lineOf({ id: null, error }));
      socket.destroySoon();
      return;
    }
    const abort = new AbortController();
    // Each of its requests may wait for the same drain and the same end.
    setMaxListeners(0, socket, abort.signal);
    this.#connections.set(socket, abort);
    socket.once("close", () => {
      this.#connections.delete(socket);
      abort.abort();
    });
    try {
      await this.#converse(socket, abort.signal);
    } catch (thrown) {
      // Anything else is the connection's own end.
      if (thrown instanceof TidegateError) socket.write(lineOf({ id: null, error: thrown.toJSON() }));
    } finally {
      socket.destroySoon();
    }
  }

  async #converse(socket: Socket, signal: AbortSignal): Promise<void> {
    const { maxRequests = 16 } = this.#options;
    const running = new Set<Promise<void>>();
    // A stop ends the reading, but not before the requests that it aborts are answered.
    const end = () => void Promise.all(running).then(() => socket.destroySoon());
    signal.addEventListener("abort", end, { once: true });
    try {
      for await (const line of readLines(socket.iterator({ destroyOnReturn: false }))) {
        if (signal.aborted) break;
        if (line.trim() === "") continue;
        const work = this.#answer(socket, parseRequest(line), signal).finally(() => running.delete(work));
        running.add(work);
        // Whoever asks faster than it is answered is read no further.
        if (running.size >= maxRequests) await Promise.race(running);
      }
    } finally {
      // A client that has closed its end may have gone altogether, and only writing tells.
      const probe = setInterval(() => (socket.writable ? socket.write("\n") : clearInterval(probe)), goneProbeMs);
      await Promise.all(running);
      clearInterval(probe);
    }
  }

  /** Never rejects. */
  async #answer(socket: Socket, { id, method, params }: ControlRequest, signal: AbortSignal): Promise<void> {
    const { handlers, log } = this.#options;
    const emit = async (item: unknown): Promise<void> => {
      signal.throwIfAborted();
      const isRoomLeft = socket.write(lineOf({ id, item: item ?? null }));
      if (!isRoomLeft) await once(socket, "drain", { signal });
    };
    try {
      const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
      if (handler === undefined) throw new TidegateError("CONTROL_UNKNOWN", { method: method.slice(0, 100) });
      const result = await handler(params, { signal, emit });
      const line = lineOf({ id, result: result ?? null });
      if (socket.writable) socket.write(line);
    } catch (thrown) {
      const isOurs = thrown instanceof TidegateError;
      const error = isOurs
        ? thrown
        : signal.aborted || socket.destroyed
          ? new TidegateError("STOPPED", { what: `the daemon's ${method}` })
          : new TidegateError("BUG", { detail: reasonOf(thrown) });
      if (error.kind === "bug") log.error({ method, error: thrown }, "control method failed");
      if (socket.writable) socket.write(lineOf({ id, error: redact(error.toJSON()) as { code: string } }));
    }
  }
}

function lineOf(reply: ControlReply): string {
  const line = `${JSON.stringify(reply)}\n`;
  if (Buffer.byteLength(line) <= maxLineBytes) return line;
  throw new TidegateError("BUG", { detail: "an answer of the control socket is longer than a line may be" });
}
