import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { outboxSource } from "../../../src/wire/owed-source.ts";
import { Uplink } from "../../../src/wire/uplink.ts";
import type { UplinkOptions } from "../../../src/wire/uplink-options.ts";
import { MemoryCloud, MemoryOutbox } from "../../support/cloud.ts";

const gateway = ephemeralKeyRing();
const timing = { receiptMs: 60, maxReceiptMs: 200, refusedMs: 20, maxRefusedMs: 100, settleMs: 0 };
const opened: Uplink[] = [];
afterEach(async () => {
  for (const uplink of opened.splice(0)) await uplink.stop();
});

async function until(check: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 8_000;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function open(outbox: MemoryOutbox, cloud: MemoryCloud, options: Partial<UplinkOptions> = {}): Uplink {
  const uplink = new Uplink({
    ...{ link: cloud, sources: [outboxSource(outbox, "alarm"), outboxSource(outbox, "rest")] },
    ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", signer: gateway.signer, maxPayload: 120 * 1024 },
    sinkKey: () => cloud.keys.box.publicKey,
    ...{ timing, clock: systemClock, log: silentLog, random: seededRandom(1) },
    ...options,
  });
  cloud.onReceipt = (receipt) => uplink.receive(receipt);
  opened.push(uplink);
  void uplink.start();
  return uplink;
}

const linesOf = (cloud: MemoryCloud) => cloud.batches.flatMap(({ lines }) => lines.map((line) => JSON.parse(line)));
const ascending = (numbers: readonly number[]) => numbers.every((n, i) => i === 0 || n > (numbers[i - 1] ?? 0));

describe("the uplink", () => {
  it("sends what is owed, each stream in order, and removes it on the receipt", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    for (let i = 0; i < 300; i++) outbox.add("rest", i % 3 === 0 ? "air" : "env", { i });
    const uplink = open(outbox, cloud);
    await until(() => outbox.size === 0, "all settled");
    expect(linesOf(cloud).length).toBe(300);
    expect([...cloud.stored.keys()].sort()).toEqual(["rest/air", "rest/env"]);
    for (const numbers of cloud.stored.values()) expect(ascending(numbers)).toBe(true);
    expect(new Set(cloud.payloads.map(({ topic }) => topic))).toEqual(
      new Set(["tidegate/v1/demo/gateways/gw-1/data/air", "tidegate/v1/demo/gateways/gw-1/data/env"]),
    );
    expect(cloud.payloads.length).toBeLessThan(8);
    expect(uplink.state).toMatchObject({ inFlight: 0, pending: 0, waitsFor: null, retries: 0 });
  });

  it("sends what comes later, as it comes", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    const uplink = open(outbox, cloud);
    for (let i = 0; i < 20; i++) {
      outbox.add("rest", "env", { i });
      uplink.wake();
      await pause(2);
    }
    await until(() => outbox.size === 0, "all settled");
    expect(linesOf(cloud).map(({ i }) => i)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it("says of each batch what it follows and what will never come again", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    for (let i = 0; i < 100; i++) outbox.add("rest", i % 4 === 0 ? "air" : "env", { text: "x".repeat(100) });
    open(outbox, cloud, { maxPayload: 2_500 });
    await until(() => outbox.size === 0, "all settled");
    expect(cloud.batches.length).toBeGreaterThan(4);
    const last = new Map<string, number>();
    for (const { head } of cloud.batches) {
      expect(head.after).toBe(last.get(head.stream) ?? 0);
      last.set(head.stream, head.last);
      expect(head.floor).toBeLessThanOrEqual(head.n);
    }
    expect(cloud.payloads.every(({ payload }) => payload.length <= 2_500)).toBe(true);
  });

  it("sends alarms first, and while all else is held up", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    for (let s = 0; s < 20; s++) outbox.add("rest", `s${s}`, {});
    outbox.add("alarm", "env", { alarm: 1 });
    cloud.fate = (_, payload) => (cloud.payloads[0]?.payload === payload ? "taken" : "lost");
    const uplink = open(outbox, cloud);
    await until(() => cloud.payloads.length >= 9, "the slots are full");
    expect(cloud.batches[0]?.head.lane).toBe("alarm");
    cloud.fate = () => "taken";
    outbox.add("alarm", "env", { alarm: 2 });
    uplink.wake();
    await until(() => cloud.batches.length > 1, "the alarm");
    expect(cloud.batches[1]?.head.lane).toBe("alarm");
  });

  it("has no more under way than it may", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    cloud.delayMs = 10;
    for (let i = 0; i < 400; i++) outbox.add("rest", `s${i % 40}`, { i });
    open(outbox, cloud, { timing: { ...timing, receiptMs: 2_000, maxReceiptMs: 2_000 } });
    await until(() => outbox.size === 0, "all settled");
    expect(cloud.maxFlying).toBeLessThanOrEqual(8);
    expect(linesOf(cloud).length).toBe(400);
  });

  it("keeps what nobody took: no subscriber, refused, lost, or without a receipt", async () => {
    for (const fate of ["nobody", "refused", "lost", "receipt lost"] as const) {
      const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
      for (let i = 0; i < 10; i++) outbox.add("rest", "env", { i });
      cloud.fate = () => fate;
      const uplink = open(outbox, cloud);
      await until(() => cloud.payloads.length >= 3, `sent again after ${fate}`);
      expect(outbox.size).toBe(10);
      expect(uplink.state.waitsFor).toBe("receipt");
      cloud.fate = () => "taken";
      await until(() => outbox.size === 0, `settled after ${fate}`);
      expect(cloud.stored.get("rest/env")).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(uplink.state.retries).toBeGreaterThanOrEqual(2);
    }
  });

  it("takes no receipt that does not prove that the batch was opened", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    outbox.add("rest", "env", {});
    cloud.fate = () => "lost";
    const uplink = open(outbox, cloud, { timing: { ...timing, receiptMs: 5_000 } });
    await until(() => uplink.state.inFlight === 1, "sent");
    const forged = { incarnation: "i1", lane: "rest", stream: "env", upTo: 1, proof: "0".repeat(64) };
    for (const text of [JSON.stringify(forged), "garbage", "", JSON.stringify({ ...forged, proof: "" })]) {
      uplink.receive(Buffer.from(text));
    }
    expect(uplink.state).toMatchObject({ inFlight: 1, badReceipts: 4, receipts: 0 });
    await pause(20);
    expect(outbox.size).toBe(1);
  });

  it("a receipt that comes twice changes nothing", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    cloud.fate = () => "twice";
    for (let i = 0; i < 50; i++) outbox.add("rest", "env", { i });
    const uplink = open(outbox, cloud);
    await until(() => outbox.size === 0, "all settled");
    expect(uplink.state).toMatchObject({ receipts: 1, badReceipts: 0 });
  });

  it("sends nothing without a connection or the sink's key, and goes on when they are there", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    outbox.add("rest", "env", {});
    cloud.state.isOnline = false;
    let key: Uint8Array | null = null;
    const uplink = open(outbox, cloud, { sinkKey: () => key });
    await pause(20);
    expect(uplink.state.waitsFor).toBe("connection");
    cloud.state.isOnline = true;
    uplink.wake();
    await pause(20);
    expect([uplink.state.waitsFor, cloud.payloads.length]).toEqual(["key", 0]);
    key = cloud.keys.box.publicKey;
    uplink.wake();
    await until(() => outbox.size === 0, "settled");
  });

  it("seals for a new key of the sink when it sends again", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    outbox.add("rest", "env", {});
    let key = ephemeralKeyRing().box.publicKey;
    cloud.fate = () => "lost";
    open(outbox, cloud, { sinkKey: () => key });
    await until(() => cloud.payloads.length > 0, "sent for the old key");
    key = cloud.keys.box.publicKey;
    cloud.fate = () => "taken";
    await until(() => outbox.size === 0, "settled");
  });

  it("gives up a line that no batch can hold, says so, and sends the others", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    const noise = Array.from({ length: 4_000 }, () => Math.random()).join();
    outbox.add("rest", "env", { i: 0 });
    outbox.add("rest", "env", { noise });
    outbox.add("rest", "env", { i: 2 });
    const dropped: [string, number][] = [];
    open(outbox, cloud, { maxPayload: 4_096, onDropped: (stream, lines) => dropped.push([stream, lines]) });
    await until(() => outbox.size === 0, "settled");
    expect(linesOf(cloud)).toEqual([{ i: 0 }, { i: 2 }]);
    expect(dropped).toEqual([["env", 1]]);
  });

  it("does not mix kinds in one batch", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    for (let i = 0; i < 10; i++) outbox.add("rest", "env", { i }, i < 5 ? "result" : "aggregate");
    open(outbox, cloud);
    await until(() => outbox.size === 0, "settled");
    expect(cloud.batches.map(({ head }) => [head.kind, head.count])).toEqual([
      ["result", 5],
      ["aggregate", 5],
    ]);
  });

  it("rarely writes down what is settled, and all of it when it stops", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    const uplink = open(outbox, cloud, { timing: { ...timing, settleMs: 60_000 } });
    for (let i = 0; i < 20; i++) {
      outbox.add("rest", "env", { i });
      uplink.wake();
      await until(() => cloud.batches.length > i, "received");
    }
    await until(() => uplink.state.inFlight === 0, "receipts");
    expect([outbox.receipts, outbox.size]).toEqual([0, 20]);
    await uplink.stop();
    await uplink.stop();
    expect([outbox.receipts, outbox.size]).toEqual([1, 0]);
  });

  it("loads nothing over and over while nothing happens", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    cloud.fate = () => "lost";
    for (let s = 0; s < 30; s++) outbox.add("rest", `s${s}`, {});
    open(outbox, cloud, { timing: { ...timing, receiptMs: 5_000 } });
    await until(() => cloud.payloads.length === 8, "the slots are full");
    const { loads } = outbox;
    await pause(100);
    expect(outbox.loads - loads).toBeLessThan(3);
  });

  it("survives a source that fails", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    let asked = 0;
    outbox.add("rest", "env", {});
    const source = outboxSource(outbox, "rest");
    const load: typeof source.load = async (...args) => {
      if (asked++ === 0) throw new Error("disk");
      return source.load(...args);
    };
    // A thousand times as fast, so that the pause is over at once.
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() * 1_000 };
    const uplink = open(outbox, cloud, { sources: [{ ...source, load }], clock });
    await pause(30);
    uplink.wake();
    await until(() => outbox.size === 0, "settled");
  });
});
