import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { outboxSource } from "../../../src/wire/owed-source.ts";
import { Uplink } from "../../../src/wire/uplink.ts";
import type { UplinkOptions } from "../../../src/wire/uplink-options.ts";
import { type Fate, MemoryCloud, MemoryOutbox } from "../../support/cloud.ts";

const gateway = ephemeralKeyRing();
const timing = { receiptMs: 30, maxReceiptMs: 60, refusedMs: 10, maxRefusedMs: 30, settleMs: 0 };

async function until(check: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 8_000;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function open(outbox: MemoryOutbox, cloud: MemoryCloud, options: Partial<UplinkOptions> = {}): Uplink {
  const uplink = new Uplink({
    ...{ link: cloud, sources: [outboxSource(outbox, "alarm"), outboxSource(outbox, "rest")] },
    ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", signer: gateway.signer, maxPayload: 2_000 },
    sinkKey: () => cloud.keys.box.publicKey,
    ...{ timing, clock: systemClock, log: silentLog, random: seededRandom(1) },
    ...options,
  });
  cloud.onReceipt = (receipt) => uplink.receive(receipt);
  void uplink.start();
  return uplink;
}

/** Lines that do not compress away. */
const line = (i: number, random = seededRandom(i)) => ({ i, noise: Array.from({ length: 5 }, random) });

describe("the outbox as a source", () => {
  it("finds its newest entry, wherever it is", async () => {
    for (const count of [0, 1, 2, 3, 7, 64, 1_000]) {
      const outbox = new MemoryOutbox();
      for (let i = 0; i < count; i++) outbox.add("rest", "env", {});
      const source = outboxSource(outbox, "rest");
      expect(await source.newest(0)).toBe(count);
      expect(await source.newest(count)).toBe(count);
      await source.settle(Math.floor(count / 2));
      expect(await source.newest(0)).toBe(count);
      expect(outbox.loads).toBeLessThan(100);
    }
  });
});

describe("after an outage", () => {
  it("what is live goes first, the backlog at its own rate, and everything arrives once", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    for (let i = 1; i <= 2_000; i++) outbox.add("rest", "env", line(i));
    cloud.state.isOnline = false;
    const uplink = open(outbox, cloud, { backlogRate: 100_000 });
    cloud.state.isOnline = true;
    const started = Date.now();
    uplink.wake();
    await until(() => cloud.batches.length > 0, "the backlog begins");
    for (let i = 2_001; i <= 2_050; i++) {
      outbox.add("rest", "env", line(i));
      uplink.wake();
      await until(() => cloud.stored.get("rest/env")?.includes(i) ?? false, "live data arrives");
    }
    const stored = cloud.stored.get("rest/env") ?? [];
    expect(stored.length).toBeLessThan(2_050);
    expect(uplink.state.hasBacklog).toBe(true);
    // Nothing is removed while something before it is owed.
    expect(outbox.lanes.rest.at(-1)?.n).toBe(2_050);
    await until(() => outbox.size === 0, "all settled");
    const bytes = cloud.payloads.reduce((sum, { payload }) => sum + payload.length, 0);
    expect(((bytes - 100_000) / (Date.now() - started)) * 1_000).toBeLessThan(150_000);
    expect([...stored].sort((a, b) => a - b)).toEqual(Array.from({ length: 2_050 }, (_, i) => i + 1));
    const [old, live] = [stored.filter((n) => n <= 2_000), stored.filter((n) => n > 2_000)];
    for (const part of [old, live]) expect(part).toEqual([...part].sort((a, b) => a - b));
    expect(uplink.state.hasBacklog).toBe(false);
    await uplink.stop();
  });

  it("of the sink alone it is the same", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    cloud.fate = () => "lost";
    const uplink = open(outbox, cloud, { backlogRate: 30_000 });
    for (let i = 1; i <= 1_000; i++) outbox.add("rest", "env", line(i));
    uplink.wake();
    await until(() => uplink.state.waitsFor === "receipt", "the sink is missed");
    cloud.fate = () => "taken";
    await until(() => uplink.state.hasBacklog, "the backlog is set apart");
    outbox.add("rest", "env", line(1_001));
    uplink.wake();
    await until(() => cloud.stored.get("rest/env")?.includes(1_001) ?? false, "live data arrives");
    expect(cloud.stored.get("rest/env")?.length).toBeLessThan(1_001);
    await uplink.stop();
  });

  it("one batch that is never taken is no outage", async () => {
    const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
    cloud.fate = (topic) => (topic.endsWith("/bad") ? "lost" : "taken");
    outbox.add("rest", "bad", {});
    const uplink = open(outbox, cloud);
    for (let i = 0; i < 100; i++) {
      outbox.add("rest", "env", { i });
      uplink.wake();
      await until(() => (cloud.stored.get("rest/env")?.length ?? 0) > i, "the others go on");
    }
    expect(cloud.payloads.filter(({ topic }) => topic.endsWith("/bad")).length).toBeLessThan(30);
    expect(uplink.state.hasBacklog).toBe(false);
    await uplink.stop();
  });
});

describe("whatever is lost, refused, repeated or restarted", () => {
  const fate = fc.constantFrom<Fate>("taken", "taken", "lost", "receipt lost", "nobody", "refused", "twice");
  const add = fc.record({ stream: fc.constantFrom("a", "b", "c"), isAlarm: fc.boolean(), count: fc.nat(30) });
  const step = fc.oneof(
    { weight: 5, arbitrary: add },
    { weight: 2, arbitrary: fc.record({ fates: fc.array(fate, { minLength: 1, maxLength: 12 }) }) },
    { weight: 1, arbitrary: fc.constant("restart" as const) },
    { weight: 1, arbitrary: fc.constant("offline" as const) },
  );

  it("everything arrives, each stream in order within its lane, and nothing stays behind", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const [outbox, cloud] = [new MemoryOutbox(), new MemoryCloud()];
        const owed = new Map<string, number[]>();
        let fates: Fate[] = [];
        cloud.fate = () => fates.shift() ?? "taken";
        let uplink = open(outbox, cloud);
        for (const now of steps) {
          if (now === "restart") {
            await uplink.stop();
            uplink = open(outbox, cloud);
          } else if (now === "offline") cloud.state.isOnline = !cloud.state.isOnline;
          else if ("fates" in now) fates = [...now.fates];
          else {
            const lane = now.isAlarm ? "alarm" : "rest";
            for (let i = 0; i < now.count; i++) {
              const n = outbox.add(lane, now.stream, line(i));
              const key = `${lane}/${now.stream}`;
              owed.set(key, [...(owed.get(key) ?? []), n]);
            }
          }
          uplink.wake();
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        cloud.state.isOnline = true;
        uplink.wake();
        await until(() => outbox.size === 0, "all settled");
        await uplink.stop();
        expect(Object.fromEntries(cloud.stored)).toEqual(Object.fromEntries(owed));
      }),
      { numRuns: 25 },
    );
  });
});
