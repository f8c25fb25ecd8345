import fc from "fast-check";
import { expect, it } from "vitest";
import { readingFlags } from "../../../src/base/frame.ts";
import type { Tensor } from "../../../src/base/tensor.ts";
import { Pipeline } from "../../../src/preprocess/pipeline.ts";
import type { DataSet } from "../../../src/train/data-set.ts";
import { plainStream, windowCard, windowData } from "../../support/window-data.ts";

const step = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 1_500 }) },
  { weight: 1, arbitrary: fc.constantFrom(4_000, 70_000, -3_000) },
);
const value = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) }, fc.constant(Number.NaN));
const readings = fc.array(fc.record({ source: fc.nat({ max: 2 }), step, value }), { maxLength: 120 });
const shape = fc.record({
  size: fc.integer({ min: 1, max: 4 }),
  hop: fc.integer({ min: 1, max: 3 }),
  every: fc.constantFrom(undefined, 1_000),
  missing: fc.constantFrom<"drop" | "hold" | "linear">("drop", "hold", "linear"),
  isFlat: fc.boolean(),
});

const configOf = ({ every, missing }: { every: number | undefined; missing: "drop" | "hold" | "linear" }) => ({
  ...(every === undefined ? {} : { every }),
  clean: { ...plainStream.clean, missing, missingLimit: 5_000 },
});

const windowsOf = (set: DataSet): string[] => {
  const { data, span = 1 } = set.inputs.window as { data: string; span?: number };
  const { dims, data: numbers } = set.data[data] as Tensor<"float32">;
  const width = dims.slice(1).reduce((a, b) => a * b, 1);
  return [...set.first].map((first, i) => `${set.ts[i]}: ${numbers.slice(first * width, (first + span) * width)}`);
};

it("the examples are the windows that the stream's pipeline gives, source by source", () => {
  fc.assert(
    fc.property(readings, shape, (list, how) => {
      const { size, hop, isFlat } = how;
      const window = { size, hop, maxGap: 60_000 };
      const expected: { source: number; text: string }[] = [];
      const pipeline = new Pipeline({
        stream: { ...plainStream, ...configOf(how) },
        fields: ["a"],
        outputs: ["a"],
        window,
        emit: (source, _sequence, ts, _arrived, values) => expected.push({ source, text: `${ts}: ${values}` }),
      });
      const dims = isFlat ? ["batch", size] : ["batch", size, 1];
      const card = windowCard(size, {
        inputs: [{ name: "window", dims }],
        target: { kind: "input", value: "window" },
      });
      const { data } = windowData(card, { config: configOf(how), window });
      const numbers = new Map<number, number>();
      let ts = 0;
      list.forEach((reading, i) => {
        ts += reading.step;
        // Numbers of sources are given in order of appearance.
        if (!numbers.has(reading.source)) numbers.set(reading.source, numbers.size);
        const row = Float64Array.of(reading.value);
        pipeline.push(numbers.get(reading.source) ?? 0, i, ts, 0, row, readingFlags.sensorTime);
        data.reading(`source ${reading.source}`, ts, row);
      });
      const inOrder = expected.sort((a, b) => a.source - b.source).map(({ text }) => text);
      if (inOrder.length === 0) expect(() => data.finish()).toThrow(/no example/);
      else expect(windowsOf(data.finish())).toEqual(inOrder);
    }),
    { numRuns: 300 },
  );
});

it("a bound on examples keeps whole windows, of all sources and days alike, the same for the same seed", () => {
  const day = 86_400_000;
  const build = (seed: number) => {
    const card = windowCard(4, { target: { kind: "input", value: "window" } });
    const { data } = windowData(card, { maxExamples: 6_000, seed, window: { size: 4, hop: 1, maxGap: day } });
    // Two sources, one of them ten times as talkative; four days.
    for (let i = 0; i < 22_000; i++) {
      const isQuiet = i % 11 === 0;
      data.reading(isQuiet ? "quiet" : "loud", Math.floor(i * ((4 * day) / 22_000)), Float64Array.of(i));
    }
    return data.finish();
  };
  const set = build(1);
  expect(set.first.length).toBeGreaterThan(5_000);
  expect(set.first.length).toBeLessThanOrEqual(6_000 + 2 * 256);
  const windows = set.data.windows as Tensor<"float32">;
  for (const first of set.first) {
    const [a = 0, b = 0, c = 0, d = 0] = windows.data.slice(first, first + 4);
    // Of the loud one every eleventh number is missing; of the quiet one only they are there.
    expect([3, 4, 33]).toContain(d - a);
    expect(a < b && b < c && c < d).toBe(true);
  }
  const count = (source: number, at: number) =>
    set.first.filter((_, i) => set.source[i] === source && Math.floor((set.ts[i] ?? 0) / day) === at).length;
  const counts = [0, 1, 2, 3].map((at) => [count(0, at), count(1, at)]);
  for (const [quiet = 0, loud = 0] of counts) {
    expect(quiet).toBeGreaterThan(200);
    expect(loud).toBeGreaterThan(700);
  }
  expect(build(1).manifest.hash).toBe(set.manifest.hash);
  expect(build(2).manifest.hash).not.toBe(set.manifest.hash);
});
