import { expect, it } from "vitest";
import type { Source } from "../../../src/base/frame.ts";
import { exportReadings } from "../../../src/gateway/buffer-export.ts";
import { readingSlices, readValues } from "../../../src/train/journal-readings.ts";
import { ValueTable } from "../../../src/train/time-table.ts";
import { WindowData } from "../../../src/train/window-data.ts";
import { plainStream, windowCard } from "../../support/window-data.ts";
import { commitOf, fields, frameAt, newFolder, openStore, setup, stream } from "../buffer/store-fixture.ts";

const [temperature = ""] = fields;
const room = (n: number): Source => ({ room: `${n}` });

function filled() {
  const store = openStore({ dir: newFolder(), streams: [setup(), setup({}, "labels")] });
  const sources = [{ stream, at: 0, sources: [room(0), room(1), room(2)] }];
  store.commit(commitOf([frameAt(0, 700)], { sources }));
  store.commit(commitOf([frameAt(700, 700)]));
  const labels = frameAt(0, 30, "labels");
  store.commit(commitOf([labels], { sources: [{ stream: "labels", at: 0, sources: [room(0), room(1), room(2)] }] }));
  return {
    read: store.read.bind(store),
    sourcesOf: (name: string): readonly Source[] => store.stateOf(name).sources,
  };
}

const builder = () =>
  new WindowData({
    card: windowCard(4, { fields: [{ name: temperature }] }),
    stream: { name: stream, fields, config: plainStream },
    seed: 1,
  });

it("examples of the journal are those of its export, by stream, source and time", async () => {
  const store = filled();
  const from = 1_700_000_000_000 + 100 * 5_000;
  const to = from + 1_000 * 5_000;
  const journal = builder();
  for await (const { frame, sources } of readingSlices(store, { stream, from, to, sources: ["0", "2"] }))
    journal.frame(frame, sources);
  const set = journal.finish();
  // A source sends every 15 seconds; the last window's target lies one reading ahead.
  expect(set.first.length).toBeGreaterThan(600);
  expect(set.manifest.readings).toBe(666);
  expect(set.manifest.streams).toEqual([{ stream, sources: ["0", "2"], from: from + 5_000, to: to - 10_000 }]);
  const exported = builder();
  for await (const lines of exportReadings({ stream, from, to }, store))
    for (const line of lines) if (line.source.room !== "1") exported.line(line);
  expect(exported.finish().manifest).toEqual(set.manifest);
});

it("labels of a second stream are found by source and time", async () => {
  const values = new ValueTable();
  await readValues(values, filled(), { stream: "labels" }, temperature);
  // Reading n of room n % 3 says 20 + n / 10.
  expect(values.at("1", 1_700_000_000_000 + 4 * 5_000, 0)).toBeCloseTo(20.4, 9);
  expect(values.at("1", 1_700_000_000_000 + 4 * 5_000 + 999, 1_000)).toBeCloseTo(20.4, 9);
  expect(values.at("1", 1_700_000_000_000 + 5 * 5_000, 1_000)).toBeNaN();
  expect(values.at("9", 1_700_000_000_000, 1e12)).toBeNaN();
});
