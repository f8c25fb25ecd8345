import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import { openSocket } from "../../src/drivers/broker-socket.ts";
import { Link } from "../../src/wire/link.ts";
import type { LinkOptions } from "../../src/wire/link-options.ts";

/**
 * Brokers that do not keep to MQTT. Whatever they send, nothing may leave the link as an exception (vitest fails on any
 * that does), no acknowledgement may go out by itself, and a good broker on the same port must be found again.
 */

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const connack = { 5: Buffer.from([0x20, 3, 0, 0, 0]), "3.1.1": Buffer.from([0x20, 2, 0, 0]) } as const;

/** A PUBLISH with QoS 1 on topic `s/1`. */
function publish(version: "5" | "3.1.1", id: number, payload = "21.5"): Buffer {
  const properties = version === "5" ? [0] : [];
  const body = [0, 3, ...Buffer.from("s/1"), id >> 8, id & 255, ...properties, ...Buffer.from(payload)];
  return Buffer.from([0x32, body.length, ...body]);
}

/** Answers every SUBSCRIBE, with one code of 1 unless others are given; returns the types of the packets that came. */
function answer(socket: Socket, version: "5" | "3.1.1", chunk: Buffer, codes: number[] | null = [1]): number[] {
  const types: number[] = [];
  for (let at = 0; at + 2 <= chunk.length; ) {
    let [length, shift, head] = [0, 0, at + 1];
    for (let more = true; more && head < chunk.length; head++, shift += 7) {
      length += ((chunk[head] ?? 0) & 127) << shift;
      more = (chunk[head] ?? 0) > 127;
    }
    const type = (chunk[at] ?? 0) >> 4;
    types.push(type);
    const id = [chunk[head] ?? 0, chunk[head + 1] ?? 0];
    const body = [...id, ...(version === "5" ? [0] : []), ...(codes ?? [])];
    if (type === 8 && codes !== null) socket.write(Buffer.from([0x90, body.length, ...body]));
    at = head + length;
  }
  return types;
}

async function serve(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}

function open(port: number, options: Partial<LinkOptions> = {}, protocol: "auto" | "5" | "3.1.1" = "auto") {
  const got: string[] = [];
  const link = new Link({
    name: "site",
    settings: {
      ...{ url: `mqtt://127.0.0.1:${port}`, protocol, receiveMaximum: 100, sessionExpiry: 60_000, keepalive: 30_000 },
      connectTimeout: 300,
    },
    clientId: "tester",
    credentials: {},
    subscriptions: [{ topic: "s/#", qos: 1, retained: "ignore" }],
    ack: "gated",
    maxPacket: 1 << 20,
    backoff: { baseMs: 1, maxMs: 2 },
    onMessage: ({ payload }) => got.push(Buffer.from(payload).toString()),
    clock: systemClock,
    log: silentLog,
    random: Math.random,
    ...options,
  });
  void link.start();
  stops.push(() => link.stop(500));
  return { link, got };
}

async function until(check: () => boolean, what: string, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("a peer that talks garbage", () => {
  it.each([
    ["another protocol", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), "BROKER_PROTOCOL"],
    ["a message before its consent", publish("5", 1), "BROKER_PROTOCOL"],
    ["a refusal", Buffer.from([0x20, 3, 0, 0x87, 0]), "BROKER_REFUSED"],
    ["a bad user name or password, said as 3.1.1 says it", Buffer.from([0x20, 2, 0, 4]), "BROKER_REFUSED"],
    ["silence", Buffer.alloc(0), "BROKER_UNREACHABLE"],
  ])("gets a clear error: %s", async (_name, bytes, code) => {
    const port = await serve((socket) => socket.write(bytes));
    const { link, got } = open(port, {}, "5");
    await expect(link.online(10_000)).rejects.toMatchObject({ code });
    expect(link.state.isOnline).toBe(false);
    expect(got).toEqual([]);
  });

  it.each(["5", "3.1.1"] as const)("never makes it throw, whatever follows its consent (MQTT %s)", async (version) => {
    const random = seededRandom(version === "5" ? 5 : 4);
    const byte = () => Math.floor(random() * 256);
    const types = [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15];
    let [served, acknowledgements] = [0, 0];
    const rounds = 600;
    const port = await serve((socket) => {
      const round = served++;
      socket.on("data", (chunk) => {
        acknowledgements += answer(socket, version, chunk).filter((type) => type === 4).length;
      });
      socket.write(connack[version]);
      if (round >= rounds) return;
      const pieces: Buffer[] = [];
      for (let i = 0; i < 4; i++) {
        const kind = round % 3;
        if (kind === 0) {
          // A well-formed frame with random content: the parser takes it, the handlers get what is odd in it.
          const body = Buffer.from(Array.from({ length: Math.floor(random() * 12) }, byte));
          const type = types[Math.floor(random() * types.length)] ?? 0;
          pieces.push(Buffer.from([(type << 4) | (random() < 0.7 ? 0 : byte() & 15), body.length]), body);
        } else if (kind === 1) {
          const packet = publish(version, 1 + i);
          packet[Math.floor(random() * packet.length)] = byte();
          pieces.push(packet);
        } else pieces.push(Buffer.from(Array.from({ length: 1 + Math.floor(random() * 40) }, byte)));
      }
      socket.write(Buffer.concat(pieces));
      setTimeout(() => socket.destroy(), 3);
    });
    // The kicks would make it wait for a minute: each connection counts as a long one here.
    let ms = 0;
    const clock = { ...systemClock, monotonic: () => (ms += 10_000) };
    const { link } = open(port, { clock }, version);
    await until(() => served > rounds && link.state.isOnline, `online after ${rounds} bad connections`, 25_000);
    expect(link.held).toBe(0);
    expect(acknowledgements).toBe(0);
  });

  it.each(["5", "3.1.1"] as const)("that sends more than its window is read no further (MQTT %s)", async (version) => {
    const flood = Buffer.concat(Array.from({ length: 5_000 }, (_, i) => publish(version, i + 1)));
    const port = await serve((socket) => {
      socket.on("data", (chunk) => answer(socket, version, chunk));
      socket.write(connack[version]);
      setTimeout(() => socket.write(flood), 50);
    });
    const { link, got } = open(port, {}, version);
    await until(() => got.length > 100, "more than a window");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([got.length, link.held]).toEqual([101, 101]);
    while (got.length < 5_000) {
      link.release(link.lastTicket - 50);
      await new Promise((resolve) => setImmediate(resolve));
      expect(link.held).toBeLessThanOrEqual(101);
    }
    expect(link.counters.connections).toBe(1);
  });

  it.each([
    ["nothing", null],
    ["too many codes", [1, 1]],
    ["no code", []],
  ])("that answers a subscription with %s does not hold the link for ever", async (_name, codes) => {
    const port = await serve((socket) => {
      socket.on("data", (chunk) => answer(socket, "5", chunk, codes));
      socket.write(connack[5]);
    });
    const { link } = open(port, {}, "5");
    await until(() => link.counters.connections > 1, "another attempt");
    expect(link.state.isOnline).toBe(false);
  });

  it("that refuses a subscription is online, and the refusal is told", async () => {
    const port = await serve((socket) => {
      socket.on("data", (chunk) => answer(socket, "5", chunk, [0x87]));
      socket.write(connack[5]);
    });
    const { link } = open(port, {}, "5");
    await link.online(10_000);
    expect(link.state.refusedFilters).toEqual([{ topic: "s/#", reason: "this user is not authorized" }]);
  });

  it("cannot bring a reader's exception out of the socket", async () => {
    const port = await serve((socket) => socket.write("x"));
    const thrown = await new Promise((resolve) => {
      const socket = openSocket(
        { host: "127.0.0.1", port },
        {
          onConnect: () => {},
          onError: () => {},
          onBytes: () => {
            throw new Error("a parser that stumbles");
          },
          onUnreadable: resolve,
        },
      );
      stops.push(() => socket.destroy());
    });
    expect(thrown).toEqual(new Error("a parser that stumbles"));
  });
});
