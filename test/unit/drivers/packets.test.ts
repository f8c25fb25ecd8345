import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PacketIds } from "../../../src/drivers/packet-ids.ts";
import { PacketReader } from "../../../src/drivers/packet-reader.ts";
import { PacketWriter } from "../../../src/drivers/packet-writer.ts";

type Seen = { kind: "publish" | "puback" | "other"; text: string };

/** A reader that notes what it hands out, and goes on when it is told to. */
function reading(version: 4 | 5, { maxPacket = 1 << 20, waits = (): boolean => false } = {}) {
  const seen: Seen[] = [];
  let rooms = 0;
  const reader = new PacketReader(
    {
      onPublish: ({ topic, payload, qos, retain, dup, messageId }) => {
        const marks = `${qos}${retain ? "r" : ""}${dup ? "d" : ""}#${messageId}`;
        seen.push({ kind: "publish", text: `${topic} ${marks} ${Buffer.from(payload).toString("latin1")}` });
        return !waits();
      },
      onPuback: (id, code) => seen.push({ kind: "puback", text: `${id} ${code}` }),
      onOther: (bytes) => seen.push({ kind: "other", text: Buffer.from(bytes).toString("hex") }),
      onRoom: () => rooms++,
    },
    version,
    maxPacket,
  );
  return { reader, seen, rooms: () => rooms };
}

/** What a writer makes of messages, each in a write of its own turn or many in one. */
function written(
  version: 4 | 5,
  messages: readonly { topic: string; payload: string | Uint8Array; qos: 0 | 1; retain: boolean; type?: string }[],
): Buffer {
  const pieces: Buffer[] = [];
  const writer = new PacketWriter((bytes) => {
    pieces.push(Buffer.from(bytes));
    return true;
  }, version);
  messages.forEach(({ topic, payload, qos, retain, type }, i) => {
    writer.publish(topic, payload, { qos, retain, contentType: type }, i + 1);
  });
  writer.flush();
  return Buffer.concat(pieces);
}

const versions = [4, 5] as const;

describe.each(versions)("packets of MQTT version %i", (version) => {
  const message = fc.record({
    topic: fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" }),
    payload: fc.oneof(
      fc.string({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constant("x".repeat(40_000)),
    ),
    qos: fc.constantFrom<0 | 1>(0, 1),
    retain: fc.boolean(),
  });

  it("are read as they were written, however the line cuts them", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 });
    const property = fc.property(fc.array(message, { maxLength: 12 }), cuts, (messages, pieces) => {
      const bytes = written(version, messages);
      const { reader, seen } = reading(version);
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = pieces[i % pieces.length] ?? 1;
        reader.push(bytes.subarray(at, at + size));
        at += size;
      }
      const expected = messages.map(({ topic, payload, qos, retain }, i) => ({
        kind: "publish",
        text: `${Buffer.from(topic).toString()} ${qos}${retain ? "r" : ""}#${qos === 1 ? i + 1 : 0} ${Buffer.from(payload).toString("latin1")}`,
      }));
      expect(seen).toEqual(expected);
    });
    fc.assert(property, { numRuns: 200 });
  });

  it("wait while nobody takes them, and none is lost or moved", () => {
    const bytes = written(
      version,
      Array.from({ length: 50 }, (_, i) => ({ topic: `t/${i % 3}`, payload: `${i}`, qos: 1, retain: false }) as const),
    );
    const { reader, seen, rooms } = reading(version, { waits: () => true });
    for (let at = 0; at < bytes.length; at += 7) reader.push(bytes.subarray(at, at + 7));
    expect(seen).toHaveLength(1);
    for (let i = 2; i <= 50; i++) {
      reader.goOn();
      expect(seen).toHaveLength(i);
    }
    expect(rooms()).toBe(0);
    reader.goOn();
    expect(rooms()).toBe(1);
    expect(seen.map(({ text }) => text.split(" ").at(-1))).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
  });

  it("that are not plain are left to the client, in their place", () => {
    const plain = written(version, [{ topic: "a", payload: "1", qos: 0, retain: false }]);
    const others = [
      Buffer.from([0x34, 6, 0, 1, 0x61, 0, 9, 0x31]), // QoS 2
      Buffer.from([0x32, 6, 0, 1, 0x61, 0, 0, 0]), // packet id 0
      Buffer.from([0x30, 2, 0, 0]), // no topic
      Buffer.from([0x30, 3, 0, 9, 0x61]), // a topic that is longer than its packet
      Buffer.from([0xd0, 0]), // PINGRESP
      Buffer.from([0x40, 1, 0]), // a PUBACK without its id
    ];
    for (const other of others) {
      const { reader, seen, rooms } = reading(version);
      reader.push(Buffer.concat([plain, other, plain]));
      expect(seen.map(({ kind }) => kind)).toEqual(["publish", "other"]);
      expect(seen[1]?.text).toBe(other.toString("hex"));
      reader.goOn();
      expect(seen.map(({ kind }) => kind)).toEqual(["publish", "other", "publish"]);
      expect(rooms()).toBe(1);
    }
  });

  it("that begin with what no packet begins with are left to the client at once", () => {
    const { reader, seen } = reading(version);
    reader.push(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(seen).toEqual([{ kind: "other", text: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n").toString("hex") }]);
  });

  it("larger than agreed are refused before they have come", () => {
    const { reader } = reading(version, { maxPacket: 1_000 });
    expect(() => reader.push(Buffer.from([0x30, 0xff, 0xff, 0x7f, 0, 1]))).toThrow(/2097151 bytes, where 1000/);
  });
});

describe("answers", () => {
  it("reach whoever waits for them, once, with the broker's reason", () => {
    const ids = new PacketIds();
    const codes: number[] = [];
    const id = ids.take((code) => codes.push(code));
    const { reader, seen } = reading(5);
    reader.push(Buffer.from([0x40, 3, id >> 8, id & 255, 0x10, 0x40, 2, 0, 77]));
    expect(seen.map(({ text }) => text)).toEqual([`${id} 16`, "77 0"]);
    ids.answer(id, 16);
    ids.answer(id, 16);
    ids.answer(77, 0);
    expect(codes).toEqual([16]);
  });

  it("never find two under the same id", () => {
    const ids = new PacketIds();
    const held = ids.take();
    const given = new Set(Array.from({ length: 65_534 }, () => ids.allocate()));
    expect(given.has(held)).toBe(false);
    expect(given.size).toBe(65_534);
    ids.answer(held, 0);
    const again = Array.from({ length: 65_535 }, () => ids.allocate());
    expect(again).toContain(held);
  });
});

describe("a message with a content type", () => {
  it("bears it in MQTT 5, where there is a place for it", () => {
    const message = { topic: "a", payload: "1", qos: 0, retain: false, type: "b" } as const;
    expect(written(5, [message])).toEqual(Buffer.from([0x30, 9, 0, 1, 0x61, 4, 3, 0, 1, 0x62, 0x31]));
    expect(written(4, [message])).toEqual(Buffer.from([0x30, 4, 0, 1, 0x61, 0x31]));
  });
});
