import { createServer, type Socket } from "node:net";
import { Aedes } from "aedes";
import { reasonOf, TidegateError } from "../base/errors.ts";

export type EmbeddedBroker = {
  /** `mqtt://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  /** Closes every connection and the port; may be called twice. */
  stop(): Promise<void>;
};

/**
 * Starts an MQTT 3.1.1 broker inside this process, on loopback only, for demonstrations and quick tests.
 *
 * It keeps everything in memory, acknowledges before it stores, refuses MQTT 5 and delivers nothing to `$share`
 * subscriptions: it is no broker to rely on.
 *
 * @param options.port  0 or absent: any free one
 * @throws TidegateError BROKER_NOT_STARTED when the port cannot be had
 */
export async function startBroker(options: { port?: number } = {}): Promise<EmbeddedBroker> {
  const broker = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // A peer that resets its connection is no fault of ours: aedes closes the client.
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    broker.handle(socket);
  });
  broker.on("clientError", () => {});
  broker.on("connectionError", () => {});

  const port = await new Promise<number>((resolve, reject) => {
    server.once("error", (cause) => {
      broker.close();
      reject(new TidegateError("BROKER_NOT_STARTED", { port: options.port ?? 0, reason: reasonOf(cause) }, { cause }));
    });
    server.listen(options.port ?? 0, "127.0.0.1", () => {
      const address = server.address();
      resolve(address !== null && typeof address === "object" ? address.port : 0);
    });
  });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const isClosed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await isClosed;
    await new Promise<void>((resolve) => broker.close(() => resolve()));
  };
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}
