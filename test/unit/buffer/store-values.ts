import type { Frame } from "../../../src/base/frame.ts";
import { type Commit, emptyCommit, type StreamSetup } from "../../../src/buffer/commit.ts";

export const root = new Uint8Array(32).fill(7);
export const fields = ["secret_temperature", "secret_humidity"];
export const stream = "secret_greenhouse";

export const setup = (keep: Partial<StreamSetup["keep"]> = {}, name = stream): StreamSetup => ({
  name,
  fields,
  keep: { maxBytes: 2 ** 30, maxAge: 1e12, priority: 5, ...keep },
});

/** A frame of two fields whose values follow from the sequence numbers. */
export function frameAt(first: number, count: number, name = stream): Frame {
  const index = Array.from({ length: count }, (_, i) => first + i);
  return {
    stream: name,
    fields,
    first,
    count,
    boot: "boot",
    wallOffset: 1_700_000_000_000,
    source: Uint32Array.from(index, (n) => n % 3),
    ts: Float64Array.from(index, (n) => 1_700_000_000_000 + n * 5_000),
    arrived: Float64Array.from(index, (n) => n * 5_000),
    flags: new Uint8Array(count).fill(1),
    values: [Float64Array.from(index, (n) => 20 + (n % 50) / 10), Float64Array.from(index, (n) => n / 7)],
  };
}

/** A commit of frames and whatever else is given. */
export const commitOf = (frames: readonly Frame[], more: Partial<Commit> = {}): Commit => ({
  ...emptyCommit,
  frames,
  ...more,
});
