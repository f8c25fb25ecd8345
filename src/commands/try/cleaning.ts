import type { StreamConfig } from "../../config/config.ts";
import { Pipeline } from "../../preprocess/pipeline.ts";

/**
 * The first part of a stream's pipeline beside the stream itself, so that what cleaning and transformations make of
 * each reading can be seen: windows of one reading, neither resampled nor scaled.
 */
export class Cleaning {
  readonly #pipeline: Pipeline;
  #last: Record<string, number> | null = null;

  /** @param outputs  the window's columns: what no window needs may be missing */
  constructor(stream: StreamConfig, fields: readonly string[], outputs: readonly string[]) {
    const maxGap = stream.window?.maxGap ?? Number.POSITIVE_INFINITY;
    this.#pipeline = new Pipeline({
      stream: { ...stream, every: undefined, normalize: "none" },
      fields,
      outputs,
      window: { size: 1, hop: 1, maxGap },
      emit: (_source, _sequence, _ts, _arrived, window) => {
        this.#last = Object.fromEntries(outputs.map((name, i) => [name, window[i] ?? Number.NaN]));
      },
    });
  }

  /** @returns the reading as it leaves cleaning (float32), or null when it is left out or held back */
  push(...reading: Parameters<Pipeline["push"]>): Readonly<Record<string, number>> | null {
    this.#last = null;
    this.#pipeline.push(...reading);
    return this.#last;
  }
}
