import { createConnection, type Socket } from "node:net";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type ControlReply, maxLineBytes, parseReply, readLines } from "./control-lines.ts";

export type CallOptions = {
  /** Takes items as they come; the daemon waits while it works. */
  onItem?(item: unknown): void | Promise<void>;
  /** Ends the call and the connection with it. */
  readonly signal?: AbortSignal;
};

type Call = {
  readonly onItem: ((item: unknown) => void | Promise<void>) | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
};

/** Talks to a running daemon through its control socket. */
export class ControlClient {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #calls = new Map<number, Call>();
  #next = 1;
  #end: TidegateError | undefined;

  private constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    void this.#read();
  }

  /**
   * @param path  of the daemon's socket
   * @throws TidegateError CONTROL_UNAVAILABLE (nobody listens), CONTROL_DENIED (no permission)
   */
  static async connect(path: string, timeoutMs = 5_000): Promise<ControlClient> {
    const socket = createConnection({ path });
    const connected = Promise.withResolvers<void>();
    socket.once("connect", () => connected.resolve());
    socket.on("error", (error) => connected.reject(error));
    const timer = setTimeout(() => connected.reject(new Error("it does not take the connection")), timeoutMs);
    try {
      await connected.promise;
    } catch (thrown) {
      socket.destroy();
      const { code } = thrown as { code?: string };
      if (code === "EACCES" || code === "EPERM") throw new TidegateError("CONTROL_DENIED", { socket: path });
      const reason = code === "ENOENT" || code === "ECONNREFUSED" ? "nothing listens there" : reasonOf(thrown);
      throw new TidegateError("CONTROL_UNAVAILABLE", { socket: path, reason }, { cause: thrown });
    } finally {
      clearTimeout(timer);
    }
    return new ControlClient(path, socket);
  }

  /**
   * Asks the daemon.
   *
   * @returns the method's result
   * @throws TidegateError as the method raised it; CONTROL_UNAVAILABLE when the daemon ends before it has answered
   */
  async call(method: string, params: Record<string, unknown> = {}, options: CallOptions = {}): Promise<unknown> {
    if (this.#end !== undefined) throw this.#end;
    const id = this.#next++;
    const line = `${JSON.stringify({ id, method, params })}\n`;
    if (Buffer.byteLength(line) > maxLineBytes) {
      throw new TidegateError("CONTROL_MALFORMED", { reason: `a request has more than ${maxLineBytes} bytes` });
    }
    const { signal, onItem } = options;
    const stop = () => this.#finish(new TidegateError("STOPPED", { what: method }));
    signal?.addEventListener("abort", stop, { once: true });
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.#calls.set(id, { onItem, resolve, reject });
        if (signal?.aborted) stop();
        else this.#socket.write(line);
      });
    } finally {
      this.#calls.delete(id);
      signal?.removeEventListener("abort", stop);
    }
  }

  close(): void {
    this.#finish(new TidegateError("STOPPED", { what: "the conversation with the daemon" }));
  }

  async #read(): Promise<void> {
    try {
      for await (const line of readLines(this.#socket)) if (line !== "") await this.#take(parseReply(line));
      this.#finish(this.#gone("it has ended"));
    } catch (thrown) {
      this.#finish(thrown instanceof TidegateError ? thrown : this.#gone(reasonOf(thrown)));
    }
  }

  async #take(reply: ControlReply): Promise<void> {
    if (reply.id === null) throw TidegateError.from(reply.error);
    const call = this.#calls.get(reply.id);
    if (call === undefined) return;
    if ("error" in reply) call.reject(TidegateError.from(reply.error));
    else if ("result" in reply) call.resolve(reply.result);
    else {
      try {
        await call.onItem?.(reply.item);
      } catch (thrown) {
        // Who cannot take the items has no use for the rest of them.
        call.reject(thrown);
        this.close();
      }
    }
  }

  #gone(reason: string): TidegateError {
    return new TidegateError("CONTROL_UNAVAILABLE", { socket: this.#path, reason });
  }

  #finish(end: TidegateError): void {
    this.#end ??= end;
    this.#socket.destroy();
    for (const call of this.#calls.values()) call.reject(end);
    this.#calls.clear();
  }
}
