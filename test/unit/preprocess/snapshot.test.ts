import { describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import type { StreamConfig } from "../../../src/config/config.ts";
import type { PipelineConfig } from "../../../src/preprocess/pipeline-options.ts";
import { feed } from "./feed.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof TidegateError) return `${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
  return "no error";
}

const window = { size: 2, hop: 1, maxGap: 1000 };

describe("construction", () => {
  it("takes a stream's configuration as it is", () => {
    const asConfigured = (stream: StreamConfig): PipelineConfig => stream;
    expect(asConfigured).toBeDefined();
  });

  it.each([
    [{ outputs: ["b"] }, /^PREPROCESS_INVALID: window: there is no field b/],
    [{ outputs: [] }, /^PREPROCESS_INVALID: window: it has no fields/],
    [{ window: { ...window, size: 0 } }, /^PREPROCESS_INVALID: window\.size/],
    [{ window: { ...window, hop: 1.5 } }, /^PREPROCESS_INVALID: window\.hop/],
    [{ window: { ...window, maxGap: 0 } }, /^PREPROCESS_INVALID: window\.maxGap/],
    [{ clean: { range: { b: [0, 1] } } }, /^PREPROCESS_INVALID: clean\.range: there is no field b/],
    [{ clean: { range: { a: [1, 0] } } }, /^PREPROCESS_INVALID: clean\.range: a cannot be from 1 to 0/],
    [{ clean: { outliers: "drop", hampel: { window: 2, sigmas: 3 } } }, /^PREPROCESS_INVALID: clean\.hampel\.window/],
    [{ stream: { transform: [{ field: "b", op: "log" }] } }, /transform\[0\]\.field: there is no field b/],
    [{ stream: { transform: [{ field: "a", op: "scale" }] } }, /transform\[0\]\.by: scale needs a number/],
    [{ stream: { transform: [{ field: "a", op: "mean" }] } }, /transform\[0\]\.over: mean needs/],
    [{ stream: { transform: [{ field: "a", op: "log", as: "a" }] } }, /transform\[0\]\.as: there is a field a/],
    [{ stream: { every: 0 } }, /^PREPROCESS_INVALID: every/],
    [{ window, stream: { every: 2000 } }, /^PREPROCESS_INVALID: every: .*longer than window\.maxGap/],
    [{ stream: { maxSources: 0 } }, /^PREPROCESS_INVALID: maxSources/],
    [
      { statistics: { count: 1, mean: [1, 2], std: [1, 2], min: [1, 2], max: [1, 2] } },
      /^PREPROCESS_INVALID: statistics/,
    ],
  ] as const)("refuses %j", (options, message) => {
    expect(codeOf(() => feed(options as Parameters<typeof feed>[0]))).toMatch(message);
  });
});

describe("snapshots", () => {
  function filled(): Uint8Array {
    const { push, pipeline } = feed({ window });
    for (const source of [3, 0]) push(10, source, { source });
    return pipeline.snapshot();
  }

  it("bring windows back, also from the middle of a buffer and over what was there", () => {
    const bytes = filled();
    const larger = new Uint8Array(bytes.length + 3);
    larger.set(bytes, 3);
    for (const part of [larger.subarray(3), Buffer.from(larger).subarray(3)]) {
      const { push, pipeline, windows } = feed({ window });
      push(0, 99, { source: 8 });
      pipeline.restore(part);
      expect([3, 0, 8].map((source) => pipeline.fill(source))).toEqual([1, 1, 0]);
      push(20, 5, { source: 3 });
      expect(windows()).toEqual([[3, 5]]);
    }
  });

  it("do not follow the pipeline that they were taken of", () => {
    const { push, pipeline, windows } = feed({ window });
    push(0, 1);
    const bytes = pipeline.snapshot();
    push(1, 2);
    pipeline.restore(bytes);
    push(2, 3);
    expect(windows()).toEqual([
      [1, 2],
      [1, 3],
    ]);
  });

  it("count idleness anew: the clock of another boot says nothing", () => {
    const before = feed({ idleExpiryMs: 100 });
    before.push(0, 1, { arrived: 1e9 });
    const { pipeline } = feed({ idleExpiryMs: 100 });
    pipeline.restore(before.pipeline.snapshot());
    pipeline.tick(5000);
    pipeline.tick(5100);
    expect(pipeline.sources).toBe(1);
    pipeline.tick(5101);
    expect(pipeline.sources).toBe(0);
  });

  it("finish an open cell by the new clock", () => {
    const stream = { every: 100 };
    const before = feed({ stream });
    before.push(0, 1, { arrived: 1e9 });
    const { pipeline, windows } = feed({ stream });
    pipeline.restore(before.pipeline.snapshot());
    pipeline.tick(7);
    expect(windows()).toEqual([]);
    pipeline.tick(7 + 150);
    expect(windows()).toEqual([[1]]);
  });

  it.each([
    ["empty", () => new Uint8Array()],
    ["noise", () => new Uint8Array(200).fill(7)],
    ["cut off", () => filled().subarray(0, -8)],
    ["cut off within a number", () => filled().subarray(0, -3)],
    ["longer than it should be", () => Buffer.concat([filled(), new Uint8Array(8)])],
    ["of another version", () => filled().with(7, 9)],
    ["of two same sources", () => withNumbers(filled(), (numbers, stride) => numbers.copyWithin(7 + stride, 7, 8))],
    ["of more sources than may be", () => withNumbers(filled(), (numbers) => numbers.fill(1e300, 0, 1))],
    ["of noise in its numbers", () => withNumbers(filled(), (numbers) => numbers.fill(0.5, 8))],
  ])("are refused when %s, and leave nothing behind", (_what, bytes) => {
    const { pipeline, push } = feed({ window });
    push(0, 1);
    expect(codeOf(() => pipeline.restore(bytes()))).toMatch(/^SNAPSHOT_UNUSABLE/);
    expect(pipeline.sources).toBe(0);
  });

  it.each([
    { window: { ...window, size: 3 } },
    { window: { ...window, maxGap: Number.POSITIVE_INFINITY } },
    { window, stream: { normalize: "zscore" } },
    { window, clean: { missing: "hold" } },
    { window, clean: { range: { a: [0, 1] } } },
    { window, fields: ["b"] },
  ] as const)("are refused by another configuration: %j", (options) => {
    const { pipeline } = feed(options as Parameters<typeof feed>[0]);
    expect(codeOf(() => pipeline.restore(filled()))).toMatch(/another configuration/);
  });
});

/** The snapshot with its numbers changed: count of sources, six of the stream, then `stride` of each source. */
function withNumbers(bytes: Uint8Array, change: (numbers: Float64Array, stride: number) => void): Uint8Array {
  const body = new Float64Array(bytes.slice(40).buffer);
  change(body, (body.length - 7) / 2);
  const changed = bytes.slice();
  changed.set(new Uint8Array(body.buffer), 40);
  return changed;
}
