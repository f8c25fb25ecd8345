import { connect, createServer, type Socket } from "node:net";

export type Cable = {
  readonly url: string;
  /** Ends every connection, without a word to either side. */
  cut(): void;
  /** Carries nothing any more on the connections that are there, which stay open: the other end has vanished. */
  hush(): void;
  stop(): void;
};

/** A line between a client and the broker on `port` that can be cut. */
export async function layCable(port: number): Promise<Cable> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const hush = () => {
    for (const socket of sockets) socket.unpipe().on("data", () => {});
  };
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    cut,
    hush,
    stop: () => {
      cut();
      server.close();
    },
  };
}
