import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readingFlags } from "../../../src/base/frame.ts";
import { Pipeline } from "../../../src/preprocess/pipeline.ts";
import type { PipelineConfig, PipelineOptions } from "../../../src/preprocess/pipeline-options.ts";
import type { TransformStep } from "../../../src/preprocess/transform.ts";
import { type Reading, simpleWindows } from "./simple-pipeline.ts";

const fields = ["a", "b"];

const value = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: -20, max: 20 }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
  { weight: 1, arbitrary: fc.constantFrom(1e300, Number.POSITIVE_INFINITY, 0.1) },
);

/** Steps in time are mostly forward, sometimes none, long or back. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 30 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 100, 101, 500, -15) },
);

const readings = fc
  .array(fc.record({ source: fc.nat({ max: 2 }), step, values: fc.tuple(value, value) }), { maxLength: 80 })
  .map((list) => {
    let ts = 1000;
    return list.map(({ source, step, values }): Reading => {
      ts += step;
      return { source, ts, values };
    });
  });

const clean = fc.record({
  range: fc.constantFrom<PipelineConfig["clean"]["range"]>({}, { a: [-10, 10] }),
  missing: fc.constantFrom("drop", "hold", "linear"),
  missingLimit: fc.constantFrom(0, 40, 1000),
  duplicates: fc.constantFrom("keep", "drop"),
});

const window = fc.record({
  size: fc.integer({ min: 1, max: 4 }),
  hop: fc.integer({ min: 1, max: 5 }),
  maxGap: fc.constantFrom(20, 100, Number.POSITIVE_INFINITY),
});

const transform = fc.constantFrom<readonly TransformStep[]>(
  [],
  [{ field: "a", op: "difference" }],
  [
    { field: "b", op: "rate" },
    { field: "b", op: "scale", by: 3 },
  ],
  [{ field: "a", op: "mean", over: 3 }],
  [
    { field: "b", op: "std", over: 4 },
    { field: "a", op: "log" },
  ],
);

const config = fc.record({
  clean: fc.record({
    range: fc.constantFrom<PipelineConfig["clean"]["range"]>({}, { a: [-10, 10] }),
    missing: fc.constantFrom("drop", "hold", "linear"),
    missingLimit: fc.constantFrom(0, 40, 1000),
    duplicates: fc.constantFrom("keep", "drop"),
    outliers: fc.constantFrom("none", "drop", "hold"),
    hampel: fc.constant({ window: 3, sigmas: 1 }),
  }),
  transform,
  every: fc.constantFrom(undefined, 20),
  resample: fc.constantFrom("mean", "last"),
  normalize: fc.constantFrom("none", "zscore", "minmax"),
  maxSources: fc.constantFrom(2, 1024),
}) satisfies fc.Arbitrary<PipelineConfig>;

/** A pipeline and what it gives, as [source, sequence, ts, arrived, ...values]. */
function pipelineOf(stream: PipelineConfig, spec: PipelineOptions["window"]) {
  const given: number[][] = [];
  const pipeline = new Pipeline({
    stream,
    fields,
    outputs: fields,
    window: spec,
    emit: (source, sequence, ts, arrived, values) => given.push([source, sequence, ts, arrived, ...values]),
  });
  const push = ({ source, ts, values }: Reading, sequence: number): void =>
    pipeline.push(source, sequence, ts, sequence, Float64Array.from(values), readingFlags.sensorTime);
  return { pipeline, given, push };
}

const untouched = { transform: [], normalize: "none" } as const;
const unjudged = { outliers: "none", hampel: { window: 7, sigmas: 3 } } as const;

describe("Pipeline", () => {
  it("gives the windows that a simple one works out from the whole list", () => {
    fc.assert(
      fc.property(readings, clean, window, (list, clean, window) => {
        const { given, push } = pipelineOf({ ...untouched, clean: { ...clean, ...unjudged } }, window);
        for (const [sequence, reading] of list.entries()) push(reading, sequence);
        const windows = new Map<number, [number, number[]][]>();
        for (const [source = -1, sequence = -1, , , ...values] of given)
          windows.set(source, [...(windows.get(source) ?? []), [sequence, values]]);
        const expected = simpleWindows(list, { clean, window, fields });
        expect(new Set(windows.keys())).toEqual(new Set(expected.keys()));
        for (const [source, list] of expected) expect(windows.get(source)).toEqual(list);
      }),
      { numRuns: 500 },
    );
  });

  it("goes on from a snapshot exactly as it would have without", () => {
    fc.assert(
      fc.property(readings, fc.nat({ max: 80 }), config, window, (list, cut, stream, window) => {
        fc.pre(stream.every === undefined || window.maxGap >= stream.every);
        const whole = pipelineOf(stream, window);
        const before = pipelineOf(stream, window);
        for (const [sequence, reading] of list.entries()) whole.push(reading, sequence);
        for (const [sequence, reading] of list.slice(0, cut).entries()) before.push(reading, sequence);
        const after = pipelineOf(stream, window);
        after.pipeline.restore(before.pipeline.snapshot());
        for (const [i, reading] of list.slice(cut).entries()) after.push(reading, cut + i);
        expect([...before.given, ...after.given]).toEqual(whole.given);
        expect(after.pipeline.statistics).toEqual(whole.pipeline.statistics);
        for (const source of [0, 1, 2]) expect(after.pipeline.fill(source)).toBe(whole.pipeline.fill(source));
      }),
      { numRuns: 500 },
    );
  });

  it("gives only finite numbers, in order of sequence for each source", () => {
    fc.assert(
      fc.property(readings, config, window, (list, stream, window) => {
        fc.pre(stream.every === undefined || window.maxGap >= stream.every);
        const { given, push, pipeline } = pipelineOf(stream, window);
        for (const [sequence, reading] of list.entries()) push(reading, sequence);
        pipeline.tick(1e6);
        const last = new Map<number, number>();
        for (const [source = -1, sequence = -1, , , ...values] of given) {
          expect(values.every(Number.isFinite)).toBe(true);
          expect(sequence).toBeGreaterThan(last.get(source) ?? -1);
          last.set(source, sequence);
        }
      }),
      { numRuns: 300 },
    );
  });
});
