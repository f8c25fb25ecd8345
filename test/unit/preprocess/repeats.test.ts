import { expect, it } from "vitest";
import { readingFlags } from "../../../src/base/frame.ts";
import { stepAfter } from "../../../src/preprocess/chronicle.ts";
import { feed } from "./feed.ts";

const window = { size: 3, hop: 1, maxGap: 100 };
const repeated = { flags: readingFlags.sensorTime | readingFlags.maybeRepeated };

it("takes what the broker gives again for no clock that was set back, however much it is", () => {
  const { windows, given, push, pipeline } = feed({ window });
  const count = 2 * stepAfter;
  for (let i = 0; i < count; i++) push(i, i);
  const before = given.length;
  for (let i = 0; i < count; i++) push(i, i, repeated);
  expect(given.length).toBe(before);
  expect(pipeline.counters.dropped.late).toBe(count);
  // The newest reading is not in the window twice.
  push(count, count);
  expect(windows().at(-1)).toEqual([count - 2, count - 1, count]);
});

it("takes what the broker gives again when it is news", () => {
  const { windows, push } = feed({ window });
  for (let i = 0; i < 5; i++) push(i, i, repeated);
  expect(windows().at(-1)).toEqual([2, 3, 4]);
});
