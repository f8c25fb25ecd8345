import type { Frame } from "../../src/base/frame.ts";
import { type Commit, emptyCommit } from "../../src/buffer/commit.ts";

export const startTs = 1_700_000_000_000;

/** A frame of `count` readings of two fields from sequence `first` on; reading `i` holds `first + i` as its value. */
export function frame(stream: string, first: number, count: number, sources = 2): Frame {
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  return {
    stream,
    fields: ["temperature", "humidity"],
    first,
    count,
    boot: "boot-1",
    wallOffset: startTs,
    source: Uint32Array.from(numbers, (n) => n % sources),
    ts: Float64Array.from(numbers, (n) => startTs + n * 1000),
    arrived: Float64Array.from(numbers, (n) => n * 1000),
    flags: Uint8Array.from(numbers, () => 1),
    values: [Float64Array.from(numbers), Float64Array.from(numbers, (n) => n / 100)],
  };
}

export const commitOf = (part: Partial<Commit>): Commit => ({ ...emptyCommit, ...part });

/** The first field of every reading, in order. */
export const valuesOf = (frames: readonly Frame[]): number[] =>
  frames.flatMap(({ values }) => Array.from(values[0] ?? []));
