import { expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { readingFlags } from "../../../src/base/frame.ts";
import { silentLog } from "../../../src/base/log.ts";
import { StreamPath, type StreamPathOptions } from "../../../src/gateway/stream-path.ts";
import { plain } from "../preprocess/feed.ts";

/** A resampled stream whose model answers at once; `windows` are the sequence numbers that it was asked about. */
function open() {
  const windows: number[] = [];
  const config = {
    ...{ ...plain, every: 1_000, window: { size: 1, hop: 1, maxGap: 60_000 }, qos: 1 },
    alarm: { onAfter: 1, offAfter: 1, silentAfter: 0 },
    publish: { when: "all", minInterval: 0, retain: false },
  };
  const path = new StreamPath({
    name: "env",
    config,
    intake: { next: 0, fields: ["a"], sources: [{ mote: "m0" }] },
    scheduler: {
      enqueue: (_stream: string, _source: number, sequence: number) => windows.push(sequence),
      inferredUpTo: () => Number.POSITIVE_INFINITY,
    },
    model: { card: { version: 1 }, fields: ["a"] },
    link: { publish: async () => ({ reason: 0 }) },
    ...{ topicOf: () => "results", clock: new FakeClock(), log: silentLog, onResult: () => {} },
  } as unknown as StreamPathOptions);
  const read = (sequence: number, ts: number) => {
    path.onReading(0, sequence, ts, ts, Float64Array.of(1), readingFlags.sensorTime);
    path.onCommitted(sequence + 1, 1);
  };
  return { path, windows, read };
}

it("does not call a reading inferred while its cell is open: after a restart its result would never be given", () => {
  const { path, windows, read } = open();
  read(0, 100);
  read(1, 1_100);
  expect(windows).toEqual([0]);
  expect(path.inferredUpTo()).toBe(1);
  read(2, 2_100);
  expect(windows).toEqual([0, 1]);
  expect(path.inferredUpTo()).toBe(2);
});
