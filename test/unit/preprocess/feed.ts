import { readingFlags } from "../../../src/base/frame.ts";
import { Pipeline } from "../../../src/preprocess/pipeline.ts";
import type { PipelineConfig, PipelineOptions } from "../../../src/preprocess/pipeline-options.ts";

/** A window as it was emitted: source, sequence, time, arrival, values. */
export type Given = readonly [source: number, sequence: number, ts: number, arrived: number, values: readonly number[]];

/** Nothing is cleaned, transformed, resampled or scaled. */
export const plain: PipelineConfig = {
  clean: {
    range: {},
    missing: "drop",
    missingLimit: 60_000,
    duplicates: "keep",
    outliers: "none",
    hampel: { window: 7, sigmas: 3 },
  },
  transform: [],
  normalize: "none",
};

type Overrides = Partial<Omit<PipelineOptions, "stream" | "emit">> & {
  readonly stream?: Partial<Omit<PipelineConfig, "clean">>;
  readonly clean?: Partial<PipelineConfig["clean"]>;
};

/** A pipeline of one field `a` and windows of 1 unless told otherwise, and what it emits. */
export function feed({ stream, clean, ...rest }: Overrides = {}) {
  const given: Given[] = [];
  const pipeline = new Pipeline({
    stream: { ...plain, ...stream, clean: { ...plain.clean, ...clean } },
    fields: ["a"],
    outputs: rest.fields ?? ["a"],
    window: { size: 1, hop: 1, maxGap: 60_000 },
    ...rest,
    emit: (source, sequence, ts, arrived, window) => given.push([source, sequence, ts, arrived, [...window]]),
  });
  let sequence = 0;
  return {
    pipeline,
    given,
    /** The values of the windows. */
    windows() {
      return given.map(([, , , , values]) => values);
    },
    /** Pushes a reading with the sensor's time; it arrives at that time unless told otherwise. */
    push(
      ts: number,
      values: number | readonly number[],
      { source = 0, flags = readingFlags.sensorTime as number, arrived = ts } = {},
    ) {
      const row = Float64Array.from(typeof values === "number" ? [values] : values);
      pipeline.push(source, sequence++, ts, arrived, row, flags);
    },
  };
}
