import { describe, expect, it } from "vitest";
import { Outgoing, type Wire } from "../../../src/wire/outgoing.ts";

class FakeWire implements Wire {
  unsent = 0;
  readonly sent: { topic: string; answer: ((code: number) => void) | undefined }[] = [];
  publish: Wire["publish"] = (topic, _payload, _options, done) => {
    this.sent.push({ topic, answer: done });
  };
  get topics(): string[] {
    return this.sent.map(({ topic }) => topic);
  }
}

const wide = { window: 1_000, maxPacket: 1_000_000 };
const keep = { qos: 1 } as const;

describe("what goes out", () => {
  it("waits for a connection with QoS 1, and needs one with QoS 0", async () => {
    const outgoing = new Outgoing();
    const first = outgoing.publish("a", "1", keep);
    await expect(outgoing.publish("b", "1", { qos: 0 })).rejects.toMatchObject({ code: "LINK_DOWN" });
    const wire = new FakeWire();
    outgoing.open(wire, wide);
    expect(wire.topics).toEqual(["a"]);
    wire.sent[0]?.answer?.(0x10);
    expect(await first).toEqual({ reason: 0x10 });
    expect(await outgoing.publish("b", "1", { qos: 0 })).toEqual({ reason: 0 });
    expect(outgoing.counters).toEqual({ published: 2, refused: 0, lost: 1 });
  });

  it("keeps to the broker's window and to the order", async () => {
    const outgoing = new Outgoing();
    for (let i = 0; i < 5; i++) void outgoing.publish(`t${i}`, "", keep);
    const wire = new FakeWire();
    outgoing.open(wire, { ...wide, window: 2 });
    expect(wire.topics).toEqual(["t0", "t1"]);
    wire.sent[1]?.answer?.(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(wire.topics).toEqual(["t0", "t1", "t2"]);
  });

  it("goes out again, before everything else, when its answer did not come", async () => {
    const outgoing = new Outgoing();
    const answers = ["t0", "t1", "t2"].map((topic) => outgoing.publish(topic, "", keep));
    const [first, second] = [new FakeWire(), new FakeWire()];
    outgoing.open(first, { ...wide, window: 2 });
    outgoing.close();
    outgoing.open(second, wide);
    expect(second.topics).toEqual(["t0", "t1", "t2"]);
    // What the old connection says late is no answer to what went out on the new one.
    first.sent[0]?.answer?.(135);
    expect(outgoing.queued).toBe(3);
    for (const { answer } of second.sent) answer?.(0);
    expect(await Promise.all(answers)).toEqual([{ reason: 0 }, { reason: 0 }, { reason: 0 }]);
    expect(outgoing.queued).toBe(0);
  });

  it("is bounded in number and in bytes", async () => {
    const outgoing = new Outgoing();
    const results: Promise<unknown>[] = [];
    for (let i = 0; i < 16_384; i++) results.push(outgoing.publish("t", "x", keep));
    await expect(outgoing.publish("t", "x", keep)).rejects.toMatchObject({ code: "OUTGOING_FULL" });
    const other = new Outgoing();
    results.push(other.publish("t", Buffer.alloc(30 * 2 ** 20), keep));
    await expect(other.publish("t", Buffer.alloc(3 * 2 ** 20), keep)).rejects.toMatchObject({ code: "OUTGOING_FULL" });
    const slow = new FakeWire();
    slow.unsent = 40 * 2 ** 20;
    other.open(slow, { window: 1, maxPacket: 2 ** 28 });
    await expect(other.publish("t", "x", { qos: 0 })).rejects.toMatchObject({ code: "OUTGOING_FULL" });
    outgoing.end();
    other.end();
    const ends = await Promise.allSettled(results);
    expect(ends.filter((end) => end.status === "rejected" && end.reason.code === "STOPPED").length).toBe(16_385);
  });

  it("answers for the broker where it would close the connection, again and again", async () => {
    const outgoing = new Outgoing();
    const wire = new FakeWire();
    const large = outgoing.publish("t", Buffer.alloc(2_000), keep);
    const small = outgoing.publish("t", "", keep);
    outgoing.open(wire, { window: 10, maxPacket: 1_000 });
    expect(await large).toEqual({ reason: 149 });
    expect(await outgoing.publish("t", Buffer.alloc(2_000), { qos: 0 })).toEqual({ reason: 149 });
    for (const topic of ["", "a/+", "a/#", "a\0"]) {
      expect(await outgoing.publish(topic, "", keep)).toEqual({ reason: 144 });
    }
    expect(wire.sent.length).toBe(1);
    wire.sent[0]?.answer?.(0);
    expect(await small).toEqual({ reason: 0 });
  });

  it("tells when all has its answer", async () => {
    const outgoing = new Outgoing();
    const wire = new FakeWire();
    outgoing.open(wire, wide);
    await outgoing.drained();
    void outgoing.publish("t", "", keep);
    let isDrained = false;
    const drained = outgoing.drained().then(() => {
      isDrained = true;
    });
    await Promise.resolve();
    expect(isDrained).toBe(false);
    wire.sent[0]?.answer?.(0);
    await drained;
  });

  it("is refused after the end, and taken again after a new beginning", async () => {
    const outgoing = new Outgoing();
    outgoing.end();
    await expect(outgoing.publish("t", "", keep)).rejects.toMatchObject({ code: "STOPPED" });
    outgoing.begin();
    const wire = new FakeWire();
    outgoing.open(wire, wide);
    const taken = outgoing.publish("t", "", keep);
    wire.sent[0]?.answer?.(0);
    expect(await taken).toEqual({ reason: 0 });
  });
});
