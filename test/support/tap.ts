import { connect, createServer, type Socket } from "node:net";
import { PacketReader, readPublish } from "./packets.ts";

/** What a line sees go by, in order. Packet ids belong to one connection; what they stood for is told instead. */
export type TapEvents = {
  /** The client has taken responsibility for a message: its acknowledgement is on the line. */
  onTaken(topic: string, payload: string): void;
  /** The broker has taken responsibility for a message of the client's. */
  onGiven(topic: string, payload: string): void;
  /** The broker let a client in that wants a session, with or without the one that it had. */
  onWelcome(isSessionPresent: boolean): void;
};

export type Tap = { readonly url: string; stop(): void };

type Message = { readonly topic: string; readonly payload: string };

const kinds = { connect: 1, connack: 2, publish: 3, puback: 4 } as const;

/** A line between clients of either protocol and the broker on `port` that tells which QoS 1 messages either side acknowledges. */
export async function layTap(port: number, events: TapEvents): Promise<Tap> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(port, "127.0.0.1");
    const down = new Map<number, Message>();
    const up = new Map<number, Message>();
    let wantsSession = false;
    // A broker that is killed before it has answered may be tried with MQTT 3.1.1 next.
    let version = 5;
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.on("close", () => broker.destroy());
    broker.on("close", () => client.destroy());
    client.on(
      "data",
      forward(broker, client, (kind, flags, body) => {
        if (kind === kinds.connect) {
          version = body[6] ?? 5;
          // The flags of CONNECT: 2 is a clean start.
          wantsSession = ((body[7] ?? 0) & 2) === 0;
        } else if (kind === kinds.publish) remember(up, flags, body, version);
        else if (kind === kinds.puback) answered(down, body, events.onTaken);
      }),
    );
    broker.on(
      "data",
      forward(client, broker, (kind, flags, body) => {
        if (kind === kinds.publish) remember(down, flags, body, version);
        else if (kind === kinds.puback) answered(up, body, events.onGiven);
        else if (kind === kinds.connack && wantsSession) events.onWelcome(((body[0] ?? 0) & 1) === 1);
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Hands packets to `see` before they go on, and stops reading while the other side does not. */
function forward(to: Socket, from: Socket, see: (kind: number, flags: number, body: Buffer) => void) {
  const reader = new PacketReader(see);
  to.on("drain", () => from.resume());
  return (chunk: Buffer) => {
    reader.push(chunk);
    if (!to.write(chunk)) from.pause();
  };
}

function remember(messages: Map<number, Message>, flags: number, body: Buffer, version: number): void {
  const { packetId, topic, payload } = readPublish(flags, body, version);
  if (packetId !== null) messages.set(packetId, { topic, payload: payload.toString() });
}

function answered(messages: Map<number, Message>, body: Buffer, tell: (topic: string, payload: string) => void): void {
  const packetId = body.readUInt16BE(0);
  const message = messages.get(packetId);
  const isRefused = (body[2] ?? 0) >= 128;
  if (message && !isRefused) tell(message.topic, message.payload);
  messages.delete(packetId);
}
