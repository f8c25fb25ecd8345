import { createServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { startBroker } from "../../src/drivers/aedes.ts";
import { Link } from "../../src/wire/link.ts";
import type { LinkOptions } from "../../src/wire/link-options.ts";
import { describeReal, freePort, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Got = { topic: string; text: string; repeat: string; ticket: number };

function open(url: string, options: Partial<LinkOptions> = {}) {
  const got: Got[] = [];
  const link: Link = new Link({
    name: "site",
    settings: { url, protocol: "auto", receiveMaximum: 8192, sessionExpiry: 3_600_000, keepalive: 30_000 },
    clientId: "tester",
    credentials: {},
    subscriptions: [{ topic: "s/#", qos: 1, retained: "ignore" }],
    ack: "gated",
    maxPacket: 1 << 20,
    onMessage: ({ topic, payload, repeat }) =>
      got.push({ topic, text: Buffer.from(payload).toString(), repeat, ticket: link.lastTicket }),
    clock: systemClock,
    log: silentLog,
    random: () => 0.05,
    ...options,
  });
  void link.start();
  stops.push(() => link.stop(1_000));
  return { link, got };
}

async function until(check: () => boolean, what: string, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function publisher(url: string) {
  const { link } = open(url, { clientId: "sensor", subscriptions: [], ack: "auto" });
  await until(() => link.state.isOnline, "the publisher is online");
  return link;
}

describeReal("the link, on mosquitto", () => {
  it("speaks MQTT 5, holds back PUBACKs, and gets again what it had not acknowledged", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const { link, got } = open(broker.url);
    await until(() => link.state.isOnline, "online");
    expect(link.state.protocol).toBe("5");
    const sensor = await publisher(broker.url);
    for (let i = 0; i < 5; i++) await sensor.publish("s/1", `m${i}`, { qos: 1 });
    await until(() => got.length === 5, "five messages");
    expect(link.held).toBe(5);
    link.release(got[1]?.ticket ?? 0);
    expect(link.held).toBe(3);
    await link.stop(1_000);
    const again = open(broker.url);
    await until(() => again.got.length === 3, "the rest again");
    expect(again.got.map(({ text, repeat }) => [text, repeat])).toEqual([
      ["m2", "maybe"],
      ["m3", "maybe"],
      ["m4", "maybe"],
    ]);
  });

  it("is certain of a repeat when the connection broke and the session held", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const { link, got } = open(broker.url);
    const sensor = await publisher(broker.url);
    await until(() => link.state.isOnline, "online");
    await sensor.publish("s/1", "once", { qos: 1 });
    await until(() => got.length === 1, "the message");
    // A second client with the same id takes the connection over, and goes.
    const rival = open(broker.url, {
      subscriptions: [{ topic: "s/#", qos: 1, retained: "ignore" }],
      onMessage: () => {},
    });
    await until(() => rival.link.state.isOnline, "the rival is online");
    await rival.link.stop(1_000);
    await until(() => link.counters.connections >= 2 && got.length >= 2, "connected again", 15_000);
    expect(got[1]).toMatchObject({ text: "once", repeat: "certain" });
    link.release(link.lastTicket);
    expect(link.held).toBe(0);
  });

  it("comes back after a restart of the broker, counts the lost session, and delivers what waited to go out", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const { link } = open(broker.url);
    await until(() => link.state.isOnline, "online");
    await broker.kill();
    await until(() => !link.state.isOnline, "offline");
    const answer = link.publish("s/out", "kept", { qos: 1 });
    await broker.restart();
    await answer;
    await until(() => link.state.isOnline, "online again", 15_000);
    expect(link.counters.sessionsLost).toBe(1);
  });

  it("ignores retained messages unless they were asked for", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const sensor = await publisher(broker.url);
    await sensor.publish("s/old", "1", { qos: 1, retain: true });
    const { link, got } = open(broker.url);
    const asking = open(broker.url, {
      clientId: "asking",
      subscriptions: [{ topic: "s/#", qos: 1, retained: "first" }],
    });
    await until(() => link.state.isOnline && asking.got.length === 1, "the retained one");
    expect(got).toEqual([]);
  });

  it("does not die of a broker that talks nonsense", async () => {
    const port = await freePort();
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    }).listen(port, "127.0.0.1");
    stops.push(() => server.close());
    const { link } = open(`mqtt://127.0.0.1:${port}`);
    await until(() => link.state.lastEnd !== "", "the end of the connection");
    expect(link.state.isOnline).toBe(false);
  });
});

it("falls back to MQTT 3.1.1 where 5 is refused", async () => {
  const broker = await startBroker();
  stops.push(() => broker.stop());
  const { link, got } = open(broker.url);
  const sensor = await publisher(broker.url);
  await until(() => link.state.isOnline, "online");
  expect(link.state.protocol).toBe("3.1.1");
  await sensor.publish("s/1", "hello", { qos: 1 });
  await until(() => got.length === 1, "the message");
});
