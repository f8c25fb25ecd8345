import { afterEach, expect, it } from "vitest";
import type { Link } from "../../src/wire/link.ts";
import type { LinkOptions, LinkSettings } from "../../src/wire/link-options.ts";
import { type Cable, layCable } from "../support/cable.ts";
import { openLink, until } from "../support/links.ts";
import { describeReal, type Mosquitto, type MosquittoOptions, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function broker(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const started = await startMosquitto(options);
  stops.push(() => started.stop());
  return started;
}

function open(url: string, options: Partial<LinkOptions> = {}, settings: Partial<LinkSettings> = {}) {
  const opened = openLink(url, options, settings);
  stops.push(() => opened.link.stop(1_000));
  return opened;
}

async function sensorOf(url: string): Promise<Link> {
  const { link } = open(url, { clientId: "sensor", subscriptions: [], ack: "auto" }, { sessionExpiry: 0 });
  await link.online(10_000);
  return link;
}

async function cable(port: number): Promise<Cable> {
  const laid = await layCable(port);
  stops.push(() => laid.stop());
  return laid;
}

describeReal("a session with mosquitto", () => {
  it("is acknowledged on the wire only by a release: the broker's window stays shut until then", async () => {
    const { url } = await broker();
    const { link, got } = open(url, {}, { receiveMaximum: 3 });
    await link.online(10_000);
    const sensor = await sensorOf(url);
    for (let i = 0; i < 10; i++) await sensor.publish("s/1", `m${i}`, { qos: 1 });
    await until(() => got.length === 3, "a window full of messages");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(got.length).toBe(3);
    // How many follow one acknowledgement is the broker's affair: mosquitto 2.0 sends a whole window.
    link.release(1);
    await until(() => got.length > 3, "more for one acknowledged");
    expect(link.held).toBe(got.length - 1);
    while (got.length < 10) {
      link.release(link.lastTicket);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(got.map(({ text }) => text)).toEqual(Array.from({ length: 10 }, (_, i) => `m${i}`));
    expect(got.every(({ repeat }) => repeat === "no")).toBe(true);
  });

  it("gives again what was not acknowledged when the line is cut, and only that", async () => {
    const { url, port } = await broker();
    const line = await cable(port);
    const { link, got } = open(line.url);
    await link.online(10_000);
    const sensor = await sensorOf(url);
    for (let i = 0; i < 6; i++) await sensor.publish("s/1", `m${i}`, { qos: 1 });
    await until(() => got.length === 6, "six messages");
    link.release(got[3]?.ticket ?? 0);
    // What was written has to arrive before the cut, or the broker may rightly send it again.
    await new Promise((resolve) => setTimeout(resolve, 100));
    line.cut();
    await until(() => got.length === 8, "the two that were held");
    expect(got.slice(6).map(({ text, repeat }) => [text, repeat])).toEqual([
      ["m4", "certain"],
      ["m5", "certain"],
    ]);
    expect([link.held, link.counters.sessionsLost, link.counters.repeats]).toEqual([2, 0, 2]);
    link.release(link.lastTicket);
    line.cut();
    await until(() => link.counters.connections === 3 && link.state.isOnline, "a third connection");
    await sensor.publish("s/1", "last", { qos: 1 });
    await until(() => got.at(-1)?.text === "last", "a fresh message");
    expect(
      got
        .slice(8)
        .filter(({ repeat }) => repeat === "no")
        .map(({ text }) => text),
    ).toEqual(["last"]);
  });

  it("that the broker lost gets none of its old acknowledgements", async () => {
    const started = await broker({ isPersistent: false });
    const { link, got } = open(started.url);
    await link.online(10_000);
    const sensor = await sensorOf(started.url);
    for (let i = 0; i < 10; i++) await sensor.publish("s/1", `old${i}`, { qos: 1 });
    await until(() => got.length === 10, "ten messages");
    const old = link.lastTicket;
    await started.kill();
    await until(() => !link.state.isOnline && !sensor.state.isOnline, "offline");
    await started.restart();
    await Promise.all([link.online(10_000), sensor.online(10_000)].map((online) => online.catch(() => {})));
    await until(() => link.state.isOnline && sensor.state.isOnline, "online again");
    expect(link.counters.sessionsLost).toBe(1);
    for (let i = 0; i < 10; i++) await sensor.publish("s/1", `new${i}`, { qos: 1 });
    await until(() => got.length === 20, "ten more, with the packet ids of the first ten");
    expect(got.slice(10).every(({ repeat }) => repeat === "no")).toBe(true);
    // The commit of the first ten ends only now.
    link.release(old);
    expect(link.held).toBe(10);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const rival = open(started.url);
    await until(() => rival.got.length === 10, "all ten again: none was acknowledged");
  });

  it("that the broker kept over a restart goes on, with what it queued meanwhile", async () => {
    const started = await broker();
    const { link, got } = open(started.url);
    await link.online(10_000);
    const sensor = await sensorOf(started.url);
    await sensor.publish("s/1", "before", { qos: 1 });
    await until(() => got.length === 1, "a message");
    await started.restart();
    await until(() => got.length === 2 && link.state.isOnline, "the message again");
    expect(got[1]).toMatchObject({ text: "before", repeat: "certain" });
    expect(link.counters.sessionsLost).toBe(0);
    await until(() => sensor.state.isOnline, "the sensor again");
    await sensor.publish("s/1", "after", { qos: 1 });
    await until(() => got[2]?.text === "after", "the next message");
  });

  it("is taken up again when the broker vanished without a word", async () => {
    const { url, port } = await broker();
    const line = await cable(port);
    const { link, got } = open(line.url, {}, { keepalive: 1_000 });
    await link.online(10_000);
    const sensor = await sensorOf(url);
    line.hush();
    await sensor.publish("s/1", "into the void", { qos: 1 });
    await until(() => got.length === 1, "the message, over a new connection");
    expect(link.counters).toMatchObject({ connections: 2, sessionsLost: 0 });
  });

  it("lives on while nothing is read from it, longer than the broker's answers to pings may take", async () => {
    const { url } = await broker({ conf: ["max_queued_messages 0"] });
    const { link, got } = open(
      url,
      { subscriptions: [{ topic: "s/#", qos: 0, retained: "ignore" }] },
      { keepalive: 1_000 },
    );
    await link.online(10_000);
    const sensor = await sensorOf(url);
    link.pause();
    for (let i = 0; i < 50; i++) await sensor.publish("s/1", `${i}`, { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    expect([got.length, link.counters.connections, link.state.isOnline]).toEqual([1, 1, true]);
    link.resume();
    await until(() => got.length === 50, "what waited");
    expect(got.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
    expect(link.counters.connections).toBe(1);
  });

  it("drops subscriptions of an earlier life, and those that a change of configuration ended", async () => {
    const { url } = await broker();
    const both: LinkOptions["subscriptions"] = [
      { topic: "s/#", qos: 1, retained: "ignore" },
      { topic: "old/#", qos: 1, retained: "ignore" },
    ];
    const first = open(url, { subscriptions: both });
    await first.link.online(10_000);
    await first.link.stop(1_000);
    const { link, got } = open(url, { former: both.map(({ topic }) => topic), expectsSession: true });
    await link.online(10_000);
    expect(link.counters.sessionsLost).toBe(0);
    const sensor = await sensorOf(url);
    await sensor.publish("old/1", "gone", { qos: 1 });
    await sensor.publish("s/1", "one", { qos: 1 });
    await until(() => got.length === 1, "the message that is wanted");
    await link.reconcile([{ topic: "t/+", qos: 0, retained: "ignore" }]);
    await sensor.publish("s/1", "gone", { qos: 1 });
    await sensor.publish("t/1", "two", { qos: 1 });
    await until(() => got.length === 2, "the message of the new subscription");
    expect(got.map(({ text }) => text)).toEqual(["one", "two"]);
  });

  it("is left to the other of two clients with the same id, and says so", async () => {
    const { url } = await broker();
    const options = { backoff: { baseMs: 5, maxMs: 20 } };
    const links = [open(url, options).link, open(url, options).link];
    await until(() => links.some((link) => link.state.error?.code === "CLIENT_ID_TAKEN"), "one gave up for a minute");
    const [loser, winner] = links[0]?.state.error?.code === "CLIENT_ID_TAKEN" ? links : [...links].reverse();
    expect(loser?.state.error?.help).toContain("clientId");
    const connections = loser?.counters.connections;
    await until(() => winner?.state.isOnline === true, "the other has peace");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(loser?.counters.connections).toBe(connections);
    expect(winner?.state.isOnline).toBe(true);
  });
});
