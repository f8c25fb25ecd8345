import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { GatewayTrust } from "../../src/coordinator/gateway-trust.ts";
import { MqttOutput } from "../../src/coordinator/mqtt-output.ts";
import { NdjsonOutput } from "../../src/coordinator/ndjson-output.ts";
import { Sink, type SinkOptions, sinkFilters } from "../../src/coordinator/sink.ts";
import { FileSinkStore, MemorySinkStore } from "../../src/coordinator/sink-store.ts";
import { ephemeralKeyRing } from "../../src/crypto/key-ring.ts";
import { startBroker } from "../../src/drivers/aedes.ts";
import { openDataKeys } from "../../src/wire/data-keys.ts";
import { Link } from "../../src/wire/link.ts";
import type { LinkOptions } from "../../src/wire/link-options.ts";
import { outboxSource } from "../../src/wire/owed-source.ts";
import { fleetTopics } from "../../src/wire/topics.ts";
import { Uplink } from "../../src/wire/uplink.ts";
import type { UplinkOptions } from "../../src/wire/uplink-options.ts";
import { MemoryOutbox } from "../support/cloud.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";

const gatewayKeys = ephemeralKeyRing();
const sinkKeys = ephemeralKeyRing();
const trusted = { "demo/gw-1": [Buffer.from(gatewayKeys.signer.publicKey).toString("base64")] };
const topics = fleetTopics("demo").gateway("gw-1");
const timing = { receiptMs: 500, maxReceiptMs: 1_000, refusedMs: 100, maxRefusedMs: 500, settleMs: 50 };

/** Where nothing is lost nothing is sent twice, however slow the machine. */
const patient = { timing: { ...timing, receiptMs: 20_000, maxReceiptMs: 20_000 } };

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function until(check: () => boolean, what: string, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function linkTo(url: string, clientId: string, options: Pick<LinkOptions, "onMessage"> & Partial<LinkOptions>): Link {
  const link = new Link({
    name: clientId,
    settings: { url, protocol: "auto", receiveMaximum: 1_024, sessionExpiry: 3_600_000, keepalive: 30_000 },
    ...{ clientId, credentials: {}, subscriptions: [], ack: "auto", maxPacket: 1 << 20 },
    // Comes back at once after a broken connection.
    ...{ clock: systemClock, log: silentLog, random: () => 0.02 },
    ...options,
  });
  return link;
}

async function openGateway(url: string, outbox: MemoryOutbox, options: Partial<UplinkOptions> = {}) {
  let uplink: Uplink | undefined;
  const link = linkTo(url, "demo-gw-1-cloud", {
    subscriptions: [{ topic: topics.receipts, qos: 1, retained: "ignore" }],
    onMessage: ({ topic, payload }) => {
      if (topic === topics.receipt("data")) uplink?.receive(payload);
    },
    onState: () => uplink?.wake(),
  });
  uplink = new Uplink({
    ...{ link, sources: [outboxSource(outbox, "alarm"), outboxSource(outbox, "rest")], fleet: "demo", gateway: "gw-1" },
    ...{ incarnation: "i1", signer: gatewayKeys.signer, sinkKey: () => sinkKeys.box.publicKey, maxPayload: 120 * 1024 },
    ...{ timing, clock: systemClock, log: silentLog, random: Math.random },
    ...options,
  });
  const running = uplink;
  stops.push(async () => {
    await running.stop();
    await link.stop(1_000);
  });
  await link.start();
  await running.start();
  return { uplink: running, link };
}

async function openSink(url: string, dir: string, options: Partial<SinkOptions> & { clientId?: string } = {}) {
  let sink: Sink | undefined;
  const link = linkTo(url, options.clientId ?? "sink-1", {
    former: sinkFilters(),
    onMessage: ({ topic, payload }) => sink?.receive(topic, payload),
    onState: () => sink?.linkChanged(),
  });
  sink = new Sink({
    ...{ link, store: new FileSinkStore(join(dir, "sink.log")), output: new NdjsonOutput({ dir: join(dir, "out") }) },
    ...{
      trust: new GatewayTrust(trusted, false, silentLog),
      keys: [sinkKeys.box],
      signer: sinkKeys.signer,
      share: "auto" as const,
    },
    ...{ clock: systemClock, log: silentLog },
    ...options,
  });
  const running = sink;
  await running.start();
  await link.start();
  const stop = async () => {
    await running.stop();
    await link.stop(1_000);
  };
  stops.push(stop);
  return { sink: running, link, stop };
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-uplink-"));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

type Line = { n: number; lane: string; stream: string; i: number };

function linesIn(dir: string): Line[] {
  const out = join(dir, "out");
  return readdirSync(out)
    .sort()
    .flatMap((name) => readFileSync(join(out, name), "utf8").split("\n").slice(0, -1))
    .map((line) => JSON.parse(line) as Line);
}

const isAscending = (numbers: readonly number[]) => numbers.every((n, i) => i === 0 || n > (numbers[i - 1] ?? 0));

/** Each line once, each stream in order within its lane. */
function expectAllOnce(lines: readonly Line[], count: number): void {
  expect(new Set(lines.map(({ lane, n }) => `${lane} ${n}`)).size).toBe(lines.length);
  expect(lines.length).toBe(count);
  for (const part of Map.groupBy(lines, ({ lane, stream }) => `${lane} ${stream}`).values()) {
    expect(isAscending(part.map(({ n }) => n))).toBe(true);
  }
}

function owe(outbox: MemoryOutbox, from: number, to: number): void {
  for (let i = from; i < to; i++) outbox.add(i % 50 === 0 ? "alarm" : "rest", i % 3 ? "env" : "air", streamed(i));
}

const streamed = (i: number) => ({ id: `r${i}`, stream: i % 3 ? "env" : "air", i });

describeReal("the uplink and the sink, on mosquitto", () => {
  it("everything owed arrives once, each stream in order", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const [dir, outbox] = [directory(), new MemoryOutbox()];
    const { sink } = await openSink(broker.url, dir);
    await until(() => sink.state.isShared !== null, "the sink listens");
    expect(sink.state.isShared).toBe(true);
    const { uplink } = await openGateway(broker.url, outbox, patient);
    for (let i = 0; i < 400; i += 20) {
      owe(outbox, i, i + 20);
      uplink.wake();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(() => outbox.size === 0, "all settled");
    expectAllOnce(linesIn(dir), 400);
    expect(uplink.state.retries).toBe(0);
  });

  it("nobody there is no delivery: the broker says so, and what is owed waits for the sink", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const [dir, outbox] = [directory(), new MemoryOutbox()];
    owe(outbox, 0, 100);
    const { uplink } = await openGateway(broker.url, outbox);
    await until(() => uplink.state.nobody > 0, "nobody has subscribed");
    expect(outbox.size).toBe(100);
    await openSink(broker.url, dir);
    await until(() => outbox.size === 0, "all settled");
    expectAllOnce(linesIn(dir), 100);
  });

  it("an outage of broker and sink costs nothing: killed broker without a session, sink stopped, all of it back", async () => {
    const broker = await startMosquitto({ isPersistent: false });
    stops.push(() => broker.stop());
    const [dir, outbox] = [directory(), new MemoryOutbox()];
    const { stop } = await openSink(broker.url, dir);
    const { uplink } = await openGateway(broker.url, outbox, { backlogRate: 10_000_000, maxPayload: 4_096 });
    owe(outbox, 0, 500);
    uplink.wake();
    await until(() => outbox.size === 0, "the first are settled");
    const busy = setInterval(() => uplink.wake(), 20);
    stops.push(() => clearInterval(busy));
    await broker.kill();
    owe(outbox, 500, 20_000);
    await stop();
    await broker.restart();
    await until(() => uplink.state.nobody > 0, "the sink is missed");
    await openSink(broker.url, dir);
    await until(() => uplink.state.receipts > 30, "some arrive");
    await broker.kill();
    owe(outbox, 20_000, 21_000);
    await broker.restart();
    await until(() => outbox.size === 0, "all settled", 25_000);
    const lines = linesIn(dir);
    expect(new Set(lines.map(({ lane, n }) => `${lane} ${n}`)).size).toBe(21_000);
    expect(lines.length).toBe(21_000);
  }, 60_000);

  it("two sinks share the load, and what each writes is there once in both together", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const dirs = [directory(), directory()] as const;
    const outbox = new MemoryOutbox();
    const a = await openSink(broker.url, dirs[0], { clientId: "sink-a" });
    const b = await openSink(broker.url, dirs[1], { clientId: "sink-b" });
    await until(() => Boolean(a.sink.state.isShared && b.sink.state.isShared), "both share");
    const { uplink } = await openGateway(broker.url, outbox, patient);
    for (let i = 0; i < 60; i++) {
      owe(outbox, i * 10, i * 10 + 10);
      uplink.wake();
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    await until(() => outbox.size === 0, "all settled");
    const parts = dirs.map(linesIn);
    expect(Math.min(...parts.map(({ length }) => length))).toBeGreaterThan(0);
    expect(new Set(parts.flat().map(({ lane, n }) => `${lane} ${n}`)).size).toBe(600);
    expect(parts.flat().length).toBe(600);
    expect(Math.max(a.sink.state.batches, b.sink.state.batches)).toBeLessThan(uplink.state.sent);
  });

  it("hands on over plain MQTT, and gives no receipt while nobody listens there", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const outbox = new MemoryOutbox();
    owe(outbox, 0, 60);
    const out = linkTo(broker.url, "sink-out", { onMessage: () => {} });
    await out.start();
    stops.push(() => out.stop(1_000));
    const output = new MqttOutput({ link: out, prefix: "plain" });
    const { sink } = await openSink(broker.url, directory(), { output, store: new MemorySinkStore() });
    const { uplink } = await openGateway(broker.url, outbox);
    await until(() => sink.state.isFailing, "nobody listens");
    expect([uplink.state.receipts, outbox.size]).toEqual([0, 60]);
    const got = new Map<number, string>();
    const listener = linkTo(broker.url, "listener", {
      subscriptions: [{ topic: "plain/#", qos: 1, retained: "ignore" }],
      onMessage: ({ topic, payload }) => got.set((JSON.parse(Buffer.from(payload).toString()) as Line).i, topic),
    });
    await listener.start();
    stops.push(() => listener.stop(1_000));
    await until(() => outbox.size === 0, "all settled");
    expect(got.size).toBe(60);
    expect(got.get(1)).toBe("plain/demo/gw-1/env/result");
  });

  it("tells fleets which key to seal for", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    await openSink(broker.url, directory(), { announce: { fleets: ["demo"], signer: sinkKeys.signer } });
    const heard: Uint8Array[] = [];
    const listener = linkTo(broker.url, "listener", {
      subscriptions: [{ topic: fleetTopics("demo").dataKeys, qos: 1, retained: "first" }],
      onMessage: ({ payload }) => heard.push(payload.slice()),
    });
    await listener.start();
    stops.push(() => listener.stop(1_000));
    await until(() => heard.length > 0, "the keys");
    const policy = { fleet: "demo", trusted: [sinkKeys.signer.publicKey], minVersion: 1 };
    const { keys, version } = openDataKeys(heard[0] ?? new Uint8Array(0), policy);
    expect([Buffer.from(keys[0] ?? []), version]).toEqual([Buffer.from(sinkKeys.box.publicKey), 1]);
    expect(() => openDataKeys(heard[0] ?? new Uint8Array(0), { ...policy, minVersion: 2 })).toThrow(/older/);
    expect(() => openDataKeys(heard[0] ?? new Uint8Array(0), { ...policy, trusted: [] })).toThrow(/not signed/);
  });
});

it("a broker that takes shared subscriptions and delivers nothing to them gets a plain one", async () => {
  const broker = await startBroker();
  stops.push(() => broker.stop());
  const [dir, outbox] = [directory(), new MemoryOutbox()];
  owe(outbox, 0, 100);
  const { sink } = await openSink(broker.url, dir);
  await until(() => sink.state.isShared !== null, "the sink listens");
  expect(sink.state.isShared).toBe(false);
  await openGateway(broker.url, outbox);
  await until(() => outbox.size === 0, "all settled");
  expectAllOnce(linesIn(dir), 100);
});
