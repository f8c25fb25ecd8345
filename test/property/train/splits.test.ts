import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tensor } from "../../../src/base/tensor.ts";
import type { DataSet, Split } from "../../../src/train/data-set.ts";
import { withManifest } from "../../../src/train/manifest.ts";
import { apart, splitByBlocks, splitByContent, splitByTime } from "../../../src/train/splits.ts";

const all = ({ train, validation, calibration, test }: Split) => [train, validation, calibration, test];

/** Windows of `size` rows and a target `horizon` ahead, one every `hop` rows, of several sources. */
const windows = fc
  .record({
    counts: fc.array(fc.integer({ min: 110, max: 200 }), { minLength: 1, maxLength: 3 }),
    size: fc.integer({ min: 1, max: 6 }),
    horizon: fc.integer({ min: 0, max: 4 }),
    hop: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ counts, size, horizon, hop }): DataSet => {
    const reach = size + horizon;
    const examples: { place: number; source: number; ts: number }[] = [];
    let rows = 0;
    counts.forEach((count, source) => {
      for (let i = 0; i < count; i++) examples.push({ place: rows + i * hop, source, ts: i * hop * 60_000 });
      rows += (count - 1) * hop + reach;
    });
    const place = Int32Array.from(examples, (each) => each.place);
    return withManifest(
      {
        data: {
          windows: tensor(
            "float32",
            [rows, 1],
            Float32Array.from({ length: rows }, (_, i) => i),
          ),
        },
        inputs: { window: { data: "windows", type: "float32", dims: [1], span: size } },
        first: place,
        place,
        reach,
        weights: new Float32Array(place.length).fill(1),
        source: Int32Array.from(examples, (each) => each.source),
        ts: Float64Array.from(examples, (each) => each.ts),
        marked: new Uint8Array(place.length),
      },
      "test",
      rows,
      [],
    );
  });

/** Rows that the examples of a part read, targets included. */
const rowsOf = ({ place, reach }: DataSet, part: Int32Array): Set<number> =>
  new Set([...part].flatMap((example) => Array.from({ length: reach }, (_, i) => (place[example] ?? 0) + i)));

function expectApart(data: DataSet, split: Split): void {
  const rows = all(split).map((part) => rowsOf(data, part));
  rows.forEach((a, i) => {
    for (const b of rows.slice(i + 1)) expect([...a].filter((row) => b.has(row))).toEqual([]);
  });
}

describe("parts of a split share no reading", () => {
  it("by time, and each is later than the one before it", () => {
    fc.assert(
      fc.property(windows, (data) => {
        const split = splitByTime(data);
        expectApart(data, split);
        for (const source of new Set(data.source)) {
          const times = all(split).map((part) => [...part].filter((i) => data.source[i] === source));
          const flat = times.flat();
          expect(flat).toEqual([...flat].sort((a, b) => a - b));
          for (const part of times) expect(part.length).toBeGreaterThan(0);
        }
        // No more is left out than what shares readings.
        const kept = all(split).reduce((sum, part) => sum + part.length, 0);
        expect(kept).toBeGreaterThanOrEqual(data.first.length - 3 * (new Set(data.source).size * (data.reach - 1)));
      }),
    );
  });

  it("by blocks, whose part the seed decides", () => {
    fc.assert(
      fc.property(windows, fc.integer(), (data, seed) => {
        // Some block lengths leave a part empty, which is refused.
        try {
          const split = splitByBlocks(data, 7 * 60_000, seed);
          expectApart(data, split);
          expect(splitByBlocks(data, 7 * 60_000, seed)).toEqual(split);
        } catch (thrown) {
          expect(String(thrown)).toMatch(/too little data/);
        }
      }),
    );
  });

  it("examples apart share none either", () => {
    fc.assert(
      fc.property(windows, (data) => {
        const chosen = apart(data, splitByTime(data).train);
        expect(rowsOf(data, chosen).size).toBe(chosen.length * data.reach);
      }),
    );
  });
});

/** Images of two pixels, some there more than once; the last ones are an official test set. */
const images = fc
  .record({ pixels: fc.array(fc.nat({ max: 400 }), { minLength: 400, maxLength: 600 }), official: fc.nat({ max: 20 }) })
  .map(({ pixels, official }): DataSet => {
    const count = pixels.length;
    const bytes = Uint8Array.from(pixels.flatMap((pixel) => [pixel >> 8, pixel & 255]));
    const numbers = Int32Array.from(pixels, (_, i) => i);
    return withManifest(
      {
        data: { images: tensor("uint8", [count, 2], bytes) },
        inputs: { image: { data: "images", type: "uint8", dims: [2] } },
        first: numbers,
        place: numbers,
        reach: 1,
        weights: new Float32Array(count).fill(1),
        source: new Int32Array(count),
        ts: new Float64Array(count).fill(Number.NaN),
        marked: new Uint8Array(count),
        fixedTest: numbers.slice(count - official),
      },
      "test",
      count,
      [],
    );
  });

it("data without time is split by content: what is there twice is in one part, an official test set stays test", () => {
  fc.assert(
    fc.property(images, fc.integer(), (data, seed) => {
      const split = splitByContent(data, seed);
      const { data: bytes } = data.data.images as { data: Uint8Array };
      const official = new Set(data.fixedTest);
      const contents = all(split).map(
        (part) => new Set([...part].filter((i) => !official.has(i)).map((i) => `${bytes.subarray(2 * i, 2 * i + 2)}`)),
      );
      contents.forEach((a, i) => {
        for (const b of contents.slice(i + 1)) expect([...a].filter((content) => b.has(content))).toEqual([]);
      });
      if (official.size > 0) expect([...split.test].sort((a, b) => a - b)).toEqual([...official]);
      expect(all(split).reduce((sum, part) => sum + part.length, 0)).toBe(data.first.length);
      expect(splitByContent(data, seed)).toEqual(split);
    }),
    { numRuns: 30 },
  );
});
