import { beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { type Frame, readingFlags, type Source } from "../../../src/base/frame.ts";
import type { DeadLetter } from "../../../src/ingest/dead-letter.ts";
import { Intake, type IntakeOptions } from "../../../src/ingest/intake.ts";
import type { Repeat } from "../../../src/wire/link-redelivery.ts";

const { sensorTime, late, maybeRepeated, clockUntrusted } = readingFlags;
const day = 86_400_000;

let clock: FakeClock;
let letters: DeadLetter[];
let readings: (readonly unknown[])[];

beforeEach(() => {
  clock = new FakeClock(Date.UTC(2026, 0, 1));
  letters = [];
  readings = [];
});

function createIntake(stream: Partial<IntakeOptions["stream"]> = {}, options: Partial<IntakeOptions> = {}): Intake {
  return new Intake({
    name: "env",
    stream: {
      codec: "json",
      topic: "motes/{mote}/env",
      exclude: [],
      fields: { t: "t", h: "h" },
      timestamp: "ts",
      maxPayload: 1024,
      maxSources: 3,
      ...stream,
    },
    clock,
    sources: [],
    next: 0,
    onDead: (letter) => letters.push(letter),
    onReading: (source, sequence, ts, arrived, values, flags) =>
      readings.push([source, sequence, ts, arrived, [...values], flags]),
    ...options,
  });
}

function send(intake: Intake, mote: string, payload: unknown, repeat: Repeat = "no", qos = 1): void {
  const origin = intake.originOf(`motes/${mote}/env`);
  if (!origin) throw new Error("the topic is not this stream's");
  const body = payload instanceof Uint8Array ? payload : Buffer.from(JSON.stringify(payload));
  intake.accept(origin, body, repeat, qos);
}

function framed(intake: Intake): Frame {
  const { frame } = intake.take();
  if (!frame) throw new Error("nothing waits");
  return frame;
}

describe("an intake", () => {
  it("turns messages into columns and calls for each reading", () => {
    const intake = createIntake({}, { next: 40 });
    const now = clock.now();
    send(intake, "a", { t: 21.5, h: 40, ts: now - 5 });
    clock.advance(10.7);
    send(intake, "b", { t: 22 });
    expect(intake.pending).toBe(2);
    const arrived = [1000, 1010];
    expect(readings).toEqual([
      [0, 40, now - 5, 1000, [21.5, 40], sensorTime],
      [1, 41, now + 10.7, 1010, [22, Number.NaN], 0],
    ]);
    const { frame, newSources } = intake.take();
    expect(newSources).toEqual([{ mote: "a" }, { mote: "b" }]);
    expect(frame).toEqual({
      stream: "env",
      fields: ["t", "h"],
      first: 40,
      count: 2,
      boot: "fake-boot",
      wallOffset: now - 1000,
      source: Uint32Array.of(0, 1),
      ts: Float64Array.of(now - 5, now + 10.7),
      arrived: Float64Array.from(arrived),
      flags: Uint8Array.of(sensorTime, 0),
      values: [Float64Array.of(21.5, 22), Float64Array.of(40, Number.NaN)],
    });
    expect(intake.counters).toMatchObject({ messages: 2, readings: 2, skipped: 1, dead: 0 });
  });

  it("hands over each reading once, without gaps in the numbers", () => {
    const intake = createIntake();
    for (let i = 0; i < 1000; i++) send(intake, "a", { t: i });
    const one = framed(intake);
    expect(intake.pending).toBe(0);
    expect(intake.take().frame).toBeNull();
    send(intake, "a", [{ t: 1000 }, { t: 1001 }]);
    const two = framed(intake);
    expect([one.first, one.count, two.first, two.count]).toEqual([0, 1000, 1000, 2]);
    expect([...(one.values[0] ?? []), ...(two.values[0] ?? [])]).toEqual(Array.from({ length: 1002 }, (_, i) => i));
    expect(readings.map((reading) => reading[1])).toEqual(Array.from({ length: 1002 }, (_, i) => i));
    expect(one.values[0]?.buffer.byteLength).toBe(8000);
  });

  it("gives columns back after a burst and goes on counting", () => {
    const intake = createIntake();
    for (let round = 0, sent = 0; round < 20; round++) {
      const burst = round === 3 ? 5000 : 3;
      for (let i = 0; i < burst; i++) send(intake, "a", { t: sent++ });
      const frame = framed(intake);
      expect([frame.first, frame.count]).toEqual([sent - burst, burst]);
      expect([...(frame.values[0] ?? [])]).toEqual(Array.from({ length: burst }, (_, i) => sent - burst + i));
    }
  });

  it("marks late readings of a source, not those of its neighbours", () => {
    const intake = createIntake();
    const now = clock.now();
    send(intake, "a", { t: 1, ts: now });
    send(intake, "a", { t: 2, ts: now - 1 });
    send(intake, "b", { t: 3, ts: now - 9 });
    send(intake, "a", { t: 4, ts: now });
    send(intake, "a", { t: 5 });
    expect([...framed(intake).flags]).toEqual([sensorTime, sensorTime | late, sensorTime, sensorTime, 0]);
    expect(intake.counters.late).toBe(1);
  });

  it("stores a reading from the far future and does not take the next ones for late", () => {
    const intake = createIntake();
    const now = clock.now();
    const times = [now, now + 3650 * day, now + 1, now - 5, now + 2];
    for (const ts of times) send(intake, "a", { t: 1, ts });
    const frame = framed(intake);
    expect([...frame.ts]).toEqual(times);
    expect([...frame.flags].map((flags) => flags & late)).toEqual([0, 0, 0, late, 0]);
    expect(intake.counters).toMatchObject({ future: 1, late: 1, readings: 5, dead: 0 });
  });

  it("takes readings under a clock of 1970 and marks them", () => {
    clock = new FakeClock(5_000);
    const intake = createIntake();
    const ts = Date.UTC(2026, 0, 1);
    send(intake, "a", { t: 1 });
    send(intake, "a", { t: 2, ts });
    clock.jump(ts + day);
    send(intake, "a", { t: 3 });
    send(intake, "a", { t: 4, ts: ts + 1 });
    const frame = framed(intake);
    const marked = [clockUntrusted, clockUntrusted | sensorTime, 0, sensorTime];
    expect([...frame.flags]).toEqual(marked);
    expect([...frame.ts]).toEqual([5_000, ts, ts + day, ts + 1]);
    // What arrived under the wrong clock can be mended: arrival and offset give the true time.
    expect((frame.arrived[0] ?? 0) + frame.wallOffset).toBe(ts + day);
  });

  it("loses nothing when the clock jumps back", () => {
    const intake = createIntake();
    send(intake, "a", { t: 1 });
    clock.jump(clock.now() - 400 * day);
    send(intake, "a", { t: 2 });
    const frame = framed(intake);
    expect(frame.count).toBe(2);
    expect([...frame.arrived]).toEqual([1000, 1000]);
    expect(letters).toEqual([]);
  });

  it("marks what may be a repeat and leaves what is one", () => {
    const intake = createIntake();
    send(intake, "a", { t: 1 }, "maybe");
    send(intake, "a", { t: 1 }, "certain");
    expect([...framed(intake).flags]).toEqual([maybeRepeated]);
    expect(intake.counters).toMatchObject({ messages: 2, readings: 1, repeats: 1 });
  });

  it("counts fields that are not there and readings without any", () => {
    const intake = createIntake();
    send(intake, "a", { t: 1 });
    send(intake, "b", { battery: 3 });
    expect(intake.counters).toMatchObject({ readings: 1, skipped: 3, empty: 1, dead: 0 });
    expect(intake.sources).toEqual([{ mote: "a" }]);
  });
});

describe("what an intake does not take", () => {
  it("becomes a dead letter with the reason, and no part of it a reading", () => {
    const intake = createIntake();
    send(intake, "a", [{ t: 1 }, { t: "warm" }]);
    send(intake, "a", Buffer.from("{"));
    send(intake, "a", Buffer.alloc(1025, " "));
    expect(letters.map((letter) => [letter.stream, letter.topic, letter.code, letter.size])).toEqual([
      ["env", "motes/a/env", "PAYLOAD_TYPE", 22],
      ["env", "motes/a/env", "PAYLOAD_MALFORMED", 1],
      ["env", "motes/a/env", "PAYLOAD_TOO_LARGE", 1025],
    ]);
    expect(letters[0]).toMatchObject({ receivedAt: clock.now(), reason: expect.stringContaining("field t") });
    expect(Buffer.from(letters[0]?.payload ?? []).toString()).toBe('[{"t":1},{"t":"warm"}]');
    expect(intake.counters).toMatchObject({ messages: 3, dead: 3, readings: 0 });
    expect([intake.pending, intake.next, intake.sources.length, readings.length]).toEqual([0, 0, 0, 0]);
  });

  it("is kept as a copy of its first 64 KiB", () => {
    const intake = createIntake({ maxPayload: 10 });
    const payload = Buffer.alloc(10_000_000, "x");
    send(intake, "a", payload);
    payload.fill("y");
    expect(letters[0]).toMatchObject({ size: 10_000_000, code: "PAYLOAD_TOO_LARGE" });
    expect(letters[0]?.payload.length).toBe(65_536);
    expect(letters[0]?.payload[0]).toBe("x".charCodeAt(0));
    expect(letters[0]?.payload.buffer.byteLength).toBe(65_536);
  });

  it("is QoS 0 while too much waits, but never QoS 1", () => {
    const intake = createIntake({}, { maxPending: 2 });
    for (let i = 0; i < 4; i++) send(intake, "a", { t: i }, "no", 0);
    send(intake, "a", { t: 9 }, "no", 1);
    expect([...(framed(intake).values[0] ?? [])]).toEqual([0, 1, 9]);
    expect(intake.counters).toMatchObject({ refused: 2, dead: 0 });
    send(intake, "a", { t: 10 }, "no", 0);
    expect(intake.pending).toBe(1);
  });
});

describe("the sources of an intake", () => {
  const stored: Source[] = [{ mote: "x" }, { mote: "y" }];

  it("keep the index that the journal knows and come again until they are stored", () => {
    const intake = createIntake({}, { sources: stored });
    send(intake, "y", { t: 1 });
    send(intake, "z", { t: 2 });
    const first = intake.take();
    expect([...(first.frame?.source ?? [])]).toEqual([1, 2]);
    expect(first.newSources).toEqual([{ mote: "z" }]);
    send(intake, "z", { t: 3 });
    expect(intake.take().newSources).toEqual([{ mote: "z" }]);
    intake.markStored(3);
    send(intake, "z", { t: 4 });
    expect(intake.take().newSources).toEqual([]);
  });

  it("are bounded, and a payload that cannot be read uses up no place", () => {
    const intake = createIntake({}, { sources: stored });
    for (let i = 0; i < 10; i++) send(intake, `bad${i}`, Buffer.from("?"));
    send(intake, "z", { t: 1 });
    send(intake, "one-too-many", { t: 2 });
    send(intake, "x", { t: 3 });
    expect(intake.sources.length).toBe(3);
    expect(letters.at(-1)).toMatchObject({ code: "SOURCES_TOO_MANY", topic: "motes/one-too-many/env" });
    expect([...framed(intake).source]).toEqual([2, 0]);
  });

  it("are told apart by the names of their captures", () => {
    const intake = createIntake({ topic: "motes/{room}/env" }, { sources: stored });
    send(intake, "x", { t: 1 });
    expect(intake.sources).toEqual([...stored, { room: "x" }]);
  });
});

describe("a stream of payloads", () => {
  it("keeps a copy of each, whatever the library does with its buffer", () => {
    const intake = createIntake({ codec: "text", fields: {} });
    const buffer = Buffer.from("hello");
    send(intake, "a", buffer);
    expect(intake.pendingBytes).toBe(5);
    buffer.fill("!");
    const frame = framed(intake);
    expect(frame.payloads?.map((payload) => Buffer.from(payload).toString())).toEqual(["hello"]);
    expect(intake.pendingBytes).toBe(0);
  });

  it("is refused at QoS 0 when its bytes fill the memory", () => {
    const intake = createIntake({ codec: "text", fields: {} }, { maxPendingBytes: 1000 });
    for (let i = 0; i < 4; i++) send(intake, "a", Buffer.alloc(600, "x"), "no", 0);
    expect([intake.pending, intake.counters.refused]).toEqual([2, 2]);
  });
});
