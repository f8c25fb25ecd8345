import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../../src/base/frame.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { decodeFrames, encodeFrames } from "../../../src/buffer/block-codec.ts";
import { byTime, readMotes } from "../../../src/commands/demo/mote-data.ts";

const fields = ["a", "b"];
const number = fc.oneof(
  fc.double(),
  fc.integer().map((n) => n / 100),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 2 ** 53, -(2 ** 52), 1e300),
);
const reading = fc.record({
  source: fc.nat(5),
  ts: fc.oneof(fc.integer({ min: -8.64e15, max: 8.64e15 }), fc.integer({ min: 1.6e12, max: 1.8e12 })),
  arrived: fc.nat(2 ** 40),
  flags: fc.nat(15),
  values: fc.tuple(number, number),
});

type Reading = typeof reading extends fc.Arbitrary<infer R> ? R : never;

function frameOf(readings: readonly Reading[], first: number, boot: string): Frame {
  return {
    stream: "s",
    fields,
    first,
    count: readings.length,
    boot,
    wallOffset: 1_700_000_000_000 + first,
    source: Uint32Array.from(readings, (r) => r.source),
    ts: Float64Array.from(readings, (r) => r.ts),
    arrived: Float64Array.from(readings, (r) => r.arrived),
    flags: Uint8Array.from(readings, (r) => r.flags),
    values: [Float64Array.from(readings, (r) => r.values[0]), Float64Array.from(readings, (r) => r.values[1])],
  };
}

describe("the block codec", () => {
  it("gives back exactly what went in, whatever the numbers", () => {
    const runs = fc.array(fc.array(reading, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(runs, (lists) => {
        let first = 7;
        const frames = lists.map((list, i) => {
          const frame = frameOf(list, first, `boot-${i}`);
          first += list.length;
          return frame;
        });
        expect(decodeFrames(encodeFrames(frames, 3), "s", fields)).toEqual(frames);
      }),
      { numRuns: 300 },
    );
  });

  it("keeps payloads", () => {
    const frame = { ...frameOf([], 0, "b"), fields: [], values: [], count: 2 };
    const full: Frame = {
      ...frame,
      source: new Uint32Array(2),
      ts: new Float64Array(2),
      arrived: new Float64Array(2),
      flags: new Uint8Array(2),
      payloads: [new Uint8Array([1, 2, 3]), new Uint8Array(0)],
    };
    expect(decodeFrames(encodeFrames([full], 3), "s", [])).toEqual([full]);
  });

  it("makes PIECE_CORRUPT of anything else, never another error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => decodeFrames(bytes, "s", fields)).toThrowError(expect.objectContaining({ code: "PIECE_CORRUPT" }));
      }),
    );
  });

  it("makes PIECE_CORRUPT or something that can be read of a piece that was changed", () => {
    const list = fc.array(reading, { minLength: 1, maxLength: 40 });
    const change = fc.record({ at: fc.nat(), to: fc.nat(255), cut: fc.nat() });
    fc.assert(
      fc.property(list, change, (readings, { at, to, cut }) => {
        const piece = encodeFrames([frameOf(readings, 7, "boot")], 3);
        piece[at % piece.length] = to;
        try {
          decodeFrames(piece.subarray(0, piece.length - (cut % 3)), "s", fields);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: "PIECE_CORRUPT" });
        }
      }),
      { numRuns: 500 },
    );
  });

  /** The motes as one block after the other. @param timesOf  sensor time and arrival of a reading that is due then */
  function bytesPerReading(timesOf: (due: number, i: number) => { ts: number; arrived: number }): number {
    const readings = byTime(readMotes());
    let bytes = 0;
    for (let at = 0; at < readings.length; at += 1024) {
      const run = readings.slice(at, at + 1024).map(({ mote, ts, humidity, temperature }, i): Reading => {
        const values: [number, number] = [humidity, temperature];
        return { source: mote - 1, ...timesOf(ts, at + i), flags: 1, values };
      });
      const frame = frameOf(run, at, "boot");
      const packed = encodeFrames([frame], 9);
      expect(decodeFrames(packed, "s", fields)).toEqual([frame]);
      bytes += packed.length + 40;
    }
    return bytes / readings.length;
  }

  const boot = 1.27e12;

  it("needs less than a byte per reading for the motes in blocks of 1,024, were they exactly on time", () => {
    expect(bytesPerReading((ts) => ({ ts, arrived: ts - boot }))).toBeLessThan(1);
  });

  it("needs less than 2.4 where clocks waver by 20 ms, and arrivals by 12", () => {
    const random = seededRandom(3);
    const about = (ms: number) => Math.round((random() - 0.5) * 2 * ms);
    expect(bytesPerReading((ts) => ({ ts: ts + about(20), arrived: ts - boot + 20 + about(12) }))).toBeLessThan(2.4);
  });

  it("needs next to nothing for arrivals of readings that come many in one message", () => {
    const random = seededRandom(4);
    let arrived = 0;
    const inBursts = bytesPerReading((ts, i) => {
      if (i % 100 === 0) arrived = ts - boot + Math.round(random() * 1e6);
      return { ts, arrived };
    });
    expect(inBursts).toBeLessThan(1.1);
  });

  it("goes on behind a gap, and behind a clock that was set", () => {
    const jumped = bytesPerReading((ts, i) => {
      const shift = (Math.floor(i / 500) % 3) * 3_600_000;
      return { ts: ts + shift, arrived: ts - boot };
    });
    expect(jumped).toBeLessThan(1.2);
  });

  it("takes up little room for a wall clock that is steered", () => {
    const frames = Array.from({ length: 50 }, (_, i): Frame => {
      const readings = Array.from({ length: 20 }, (_, j): Reading => {
        const at = (i * 20 + j) * 250;
        return { source: j % 4, ts: 1.7e12 + at, arrived: at, flags: 1, values: [20, 30] };
      });
      return { ...frameOf(readings, i * 20, "7d0f3a9e-0d3c-4a58-9c53-0a4c5d3f1b6a"), wallOffset: 1.7e12 + (i % 2) };
    });
    const packed = encodeFrames(frames, 12);
    expect(decodeFrames(packed, "s", fields)).toEqual(frames);
    expect(packed.length).toBeLessThan(400);
  });
});
