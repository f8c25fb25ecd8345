import { connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { atEnd, daemonAt, openSite, results, windowsOf } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

/** A way to the broker on `port` that turns clients away by what their first packet holds. */
async function layDoor(port: number, turnsAway: (hello: string) => boolean) {
  const greeted: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(port, "127.0.0.1");
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.once("data", (hello) => {
      const text = hello.toString("latin1");
      greeted.push(text);
      if (turnsAway(text)) client.destroy();
    });
    client.pipe(broker);
    broker.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `mqtt://127.0.0.1:${address.port}`, greeted };
}

const isOfResults = (hello: string): boolean => hello.includes("-results");
const count = 400;

describeReal("results", () => {
  it("have a connection of their own", async () => {
    const { broker, sensors, listener } = await openSite();
    const door = await layDoor(broker.port, () => false);
    const daemon = daemonAt(door.url);
    await daemon.start();
    await sensors.send(count);
    await results(listener, windowsOf(count));
    expect(door.greeted.filter(isOfResults)).toHaveLength(1);
    expect(door.greeted).toHaveLength(2);
    expect(await daemon.status()).toMatchObject({ results: { isOnline: true, isShared: false } });
  });

  it("share the readings' connection where the broker lets in no other", async () => {
    const { broker, sensors, listener } = await openSite();
    const door = await layDoor(broker.port, isOfResults);
    const daemon = daemonAt(door.url);
    await daemon.start();
    await sensors.send(count);
    await results(listener, windowsOf(count));
    expect(await daemon.status()).toMatchObject({ results: { isShared: true } });
    expect(daemon.log.filter(({ event }) => event.startsWith("no second connection"))).toHaveLength(1);
    expect((await daemon.stop()).code).toBe(0);
  });
});
