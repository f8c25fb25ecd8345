import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../../src/base/frame.ts";
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

  it("needs less than 3 bytes per reading for the motes, in blocks of 1,024", () => {
    const readings = byTime(readMotes());
    let bytes = 0;
    for (let at = 0; at < readings.length; at += 1024) {
      const run = readings.slice(at, at + 1024);
      const frame = frameOf(
        run.map(({ mote, ts, humidity, temperature }) => {
          return {
            source: mote - 1,
            ts,
            arrived: ts - 1.27e12,
            flags: 1,
            values: [humidity, temperature] as [number, number],
          };
        }),
        at,
        "boot",
      );
      bytes += encodeFrames([frame], 9).length + 40;
    }
    expect(bytes / readings.length).toBeLessThan(3);
  });
});
