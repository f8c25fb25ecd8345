import { readingFlags } from "../../src/base/frame.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import type { PipelineConfig } from "../../src/preprocess/pipeline-options.ts";
import { WindowData, type WindowDataOptions } from "../../src/train/window-data.ts";

/** Nothing is cleaned, transformed, resampled or scaled. */
export const plainStream: PipelineConfig = {
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

/** A card of windows of `size` readings of field `a`, changed as told. */
export function windowCard(size: number, changes: Record<string, unknown> = {}): Card {
  return cardSchema.parse({
    format: 1,
    name: "test",
    version: 1,
    task: "forecast",
    fields: [{ name: "a" }],
    window: { size, hop: 1, maxGap: "60s" },
    inputs: [{ name: "window", dims: ["batch", size, 1] }],
    outputs: [{ name: "y", kind: "value", dims: ["batch", 1] }],
    loss: { kind: "mse", output: "y" },
    target: { kind: "next" },
    ...changes,
  });
}

type Options = Partial<Omit<WindowDataOptions, "card" | "stream">> & {
  readonly fields?: readonly string[];
  readonly config?: Partial<PipelineConfig>;
  readonly window?: WindowDataOptions["stream"]["window"];
};

/** A builder of data of a stream named `s`. */
export function windowData(card: Card, { fields = ["a"], config, window, ...rest }: Options = {}) {
  const data = new WindowData({
    card,
    stream: { name: "s", fields, config: { ...plainStream, ...config }, window },
    seed: 1,
    ...rest,
  });
  return {
    data,
    /** Pushes readings one second apart, from `from` on. */
    push(source: string, rows: readonly (number | readonly number[])[], from = 0, every = 1_000) {
      rows.forEach((row, i) => {
        const values = Float64Array.from(typeof row === "number" ? [row] : row);
        data.reading(source, from + i * every, values, readingFlags.sensorTime);
      });
    },
  };
}
