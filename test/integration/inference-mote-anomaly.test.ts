import { resolve } from "node:path";
import { expect, test } from "vitest";
import { moteAnomaly } from "../../scripts/models/mote-anomaly.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { type MoteReading, readMotes } from "../../src/commands/demo/mote-data.ts";
import { score, stepDetector, total } from "../../src/commands/demo/scoreboard.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { loadVerified } from "../../src/inference/golden.ts";
import { Scheduler } from "../../src/inference/scheduler.ts";
import { VerdictTracker } from "../../src/inference/verdict.ts";
import type { NewCard } from "../../src/train/templates/template.ts";
import { startHost } from "../support/started-host.ts";

const shipped = resolve(import.meta.dirname, "../../models/mote-anomaly");

test("its recipe makes a model that does as well", async () => {
  let metrics: NewCard["metrics"];
  await moteAnomaly({
    tell: () => {},
    write: async (_model, card) => {
      metrics = card.metrics;
    },
  });
  expect(metrics).toMatchObject({ eventsLabelled: 2, eventsFound: 2 });
  expect(metrics?.worstFalseEpisodesOfOneMote).toBeLessThanOrEqual(1);
});

/** The verdicts of the shipped model on every reading of every mote, through the model process and the tracker. */
async function alarmsOf(motes: ReadonlyMap<number, readonly MoteReading[]>): Promise<Map<number, boolean[]>> {
  const host = await startHost();
  const bundle = await openBundle(shipped);
  const { alarm, window } = bundle.card;
  const size = window?.size ?? 0;
  const alarms = new Map([...motes].map(([mote, readings]) => [mote, readings.map(() => false)]));
  const tracker = new VerdictTracker({
    stream: "env",
    alarm: { ...(alarm ?? { onAfter: 1, offAfter: 1 }), silentAfterMs: 0 },
    publish: { when: "all", minIntervalMs: 0 },
    sourceOf: (index) => ({ mote: String(index) }),
  });
  const indexOf = new Map<string, number>();
  const scheduler = new Scheduler({
    host,
    clock: systemClock,
    log: silentLog,
    onResults: (batch) =>
      tracker.accept(batch, bundle.card, 0, ({ source, ts, verdict }) => {
        const mote = Number(source.mote);
        const own = alarms.get(mote);
        if (own) own[indexOf.get(`${mote} ${ts}`) ?? 0] = verdict === "alarm";
      }),
  });
  scheduler.open({ stream: "env", model: await loadVerified(bundle, host), width: size * 2, whenFull: "hold" });
  let sequence = 0;
  for (const [mote, readings] of motes) {
    const values = readings.flatMap(({ humidity, temperature }) => [humidity, temperature]);
    for (const [i, { ts }] of readings.entries()) {
      indexOf.set(`${mote} ${ts}`, i);
      if (i + 1 < size) continue;
      scheduler.enqueue(
        "env",
        mote,
        ++sequence,
        ts,
        0,
        Float32Array.from(values.slice((i + 1 - size) * 2, (i + 1) * 2)),
      );
    }
    await scheduler.drained();
  }
  return alarms;
}

test("both labelled events are found within half a minute, with no false episode, where the step detector has dozens", async () => {
  const motes = readMotes();
  const { card } = await openBundle(shipped);
  const alarms = await alarmsOf(motes);
  const size = card.window?.size ?? 0;
  const each = [...motes].map(([mote, readings]) => score(readings, alarms.get(mote) ?? [], size));
  const { events, delays, falseEpisodes, falseAlarms, normalReadings } = total(each);
  expect(events).toEqual({ labelled: 2, found: 2 });
  expect(Math.max(...delays)).toBeLessThanOrEqual(6);
  expect(Math.max(...each.map((one) => one.falseEpisodes))).toBeLessThanOrEqual(1);
  // What the card says was reached is what the gateway's own path reaches.
  expect(card.metrics).toMatchObject({
    eventsFound: 2,
    worstDelayReadings: Math.max(...delays),
    falseEpisodes,
    falseAlarms,
    normalReadings,
  });
  const steps = total([...motes.values()].map((readings) => score(readings, stepDetector(readings, 1_000), size)));
  expect(card.baselines.humidityStepOver4Sigma).toMatchObject({
    eventsFound: steps.events.found,
    falseEpisodes: steps.falseEpisodes,
    falseAlarms: steps.falseAlarms,
  });
});

test("no reading of the prefix that weights and threshold come from is labelled", () => {
  for (const readings of readMotes().values())
    expect(readings.slice(0, 1_000).some(({ isLabelled }) => isLabelled)).toBe(false);
});
