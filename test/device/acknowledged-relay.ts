import { connect, createServer, type Socket } from "node:net";

/** Cuts a byte stream into MQTT packets. */
class PacketSplitter {
  #rest = Buffer.alloc(0);
  readonly #take: (type: number, flags: number, body: Buffer) => void;

  constructor(take: (type: number, flags: number, body: Buffer) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const length = varint(this.#rest, 1);
      if (length === undefined || this.#rest.length < length.end + length.value) return;
      const head = this.#rest.readUInt8(0);
      this.#take(head >> 4, head & 15, this.#rest.subarray(length.end, length.end + length.value));
      this.#rest = this.#rest.subarray(length.end + length.value);
    }
  }
}

/** MQTT's variable byte integer; undefined when it is not there yet. */
function varint(bytes: Buffer, from: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = from, scale = 1; at < bytes.length; at++, scale *= 128) {
    const byte = bytes.readUInt8(at);
    value += (byte & 127) * scale;
    if (byte < 128) return { value, end: at + 1 };
  }
  return undefined;
}

const packets = { publish: 3, puback: 4 };

/** Packet id and payload of a PUBLISH of MQTT 5 with QoS 1. */
function parsePublish(body: Buffer): { id: number; payload: string } | undefined {
  const topicEnd = 2 + body.readUInt16BE(0);
  const properties = varint(body, topicEnd + 2);
  if (properties === undefined) return undefined;
  return { id: body.readUInt16BE(topicEnd), payload: body.toString("utf8", properties.end + properties.value) };
}

export type Relay = {
  readonly port: number;
  /** Payloads that a gateway has acknowledged, as the broker got to hear it. */
  readonly acknowledged: ReadonlySet<string>;
  stop(): void;
};

/**
 * Stands between gateways and the broker, and notes which messages the gateways acknowledge.
 * @param brokerPort  asked at each connection; undefined: the broker is away
 */
export async function startRelay(brokerPort: () => number | undefined): Promise<Relay> {
  const acknowledged = new Set<string>();
  const sockets = new Set<Socket>();
  const server = createServer((gateway) => {
    const far = brokerPort();
    if (far === undefined) return void gateway.destroy();
    const broker = connect(far, "127.0.0.1");
    const open = new Map<number, string>();
    const fromBroker = new PacketSplitter((type, flags, body) => {
      if (type !== packets.publish || (flags & 6) === 0) return;
      const message = parsePublish(body);
      if (message) open.set(message.id, message.payload);
    });
    const fromGateway = new PacketSplitter((type, _flags, body) => {
      if (type !== packets.puback) return;
      const payload = open.get(body.readUInt16BE(0));
      if (payload !== undefined) acknowledged.add(payload);
      open.delete(body.readUInt16BE(0));
    });
    for (const socket of [gateway, broker]) {
      sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          gateway.destroy();
          broker.destroy();
        });
    }
    // Passed on first: what is noted has reached the broker, or is about to.
    broker.on("data", (chunk) => {
      gateway.write(chunk);
      fromBroker.push(chunk);
    });
    gateway.on("data", (chunk) => {
      broker.write(chunk);
      fromGateway.push(chunk);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    acknowledged,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
