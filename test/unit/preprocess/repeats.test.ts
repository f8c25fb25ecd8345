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

it("loses no window of a new reading when a broker sends again what it had saved, without saying that it does", () => {
  const { given, push } = feed({ window: { ...window, size: stepAfter } });
  const count = 60;
  for (let i = 0; i < count; i++) push(i, i);
  const windowsByTs = new Map(given.map(([, , ts, , values]) => [ts, values]));
  given.length = 0;
  for (let i = count - 20; i < count + 20; i++) push(i, i);
  for (const [, , ts, , values] of given) if (ts < count) expect(values).toEqual(windowsByTs.get(ts));
  const news = given.filter(([, , ts]) => ts >= count);
  expect(news.map(([, , ts]) => ts)).toEqual(Array.from({ length: 20 }, (_, i) => count + i));
});
