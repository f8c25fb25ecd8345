/**
 * Kills the daemon (SIGKILL) again and again while sensors publish, and holds it to its promise.
 *
 * Invariant, whatever the moments of the kills: once the broker has acknowledged a reading to its sensor,
 *   - the reading is in the database, with the values and the source that were sent;
 *   - after dedup by id it is there exactly once, and nothing is there that was not sent;
 *   - its result was given, and every repeat of that result has the same id and says the same;
 *   - both databases pass `PRAGMA integrity_check`, and no model process outlives its daemon.
 *
 * The broker keeps the session and queues without limit (`max_queued_messages 0`). Half of the kills come at any moment,
 * start and recovery included; half while the journal merges or moves its log, which it does every second here.
 *
 * CRASH_KILLS: how many kills (20); CRASH_SEED: of a run that is to be repeated.
 */
import fc from "fast-check";
import { afterEach, expect, it } from "vitest";
import type { Result } from "../../src/base/result.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { eachStored, integrityOf } from "../support/daemon-journal.ts";
import { isAlive, killPoint, nextTick, runsOf, sleep, Told } from "../support/killed-lives.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener, Publisher } from "../support/publisher.ts";

const kills = Number(process.env.CRASH_KILLS ?? 20);
const seed = Number(process.env.CRASH_SEED ?? Date.now() % 2 ** 31);
const rate = 1_000;
const motes = 4;
const windowSize = 16;
const fields = Object.keys(moteStream.fields);
const everySecond = "* * * * * *";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

describeReal("a daemon that is killed", () => {
  it(
    `keeps every acknowledged reading over ${kills} kills (seed ${seed})`,
    async () => {
      const broker = await startMosquitto({ conf: ["max_queued_messages 0"] });
      stops.push(() => broker.stop());
      const sensors = await Publisher.connect(broker.url, { motes });
      stops.push(() => sensors.close());
      const told = new Told();
      const listener = await Listener.connect(broker.url, "tidegate/gw-1/results/#", ({ text }) => {
        const result = JSON.parse(text) as Result;
        told.take(sensors.numberOf(result.ts), result);
      });
      stops.push(() => listener.close());
      const daemon = new Daemon({
        sensors: { url: broker.url },
        streams: { env: moteStream },
        buffer: { commitMaxDelay: "200ms", blockReadings: 256 },
        schedules: { merge: everySecond, checkpoint: everySecond },
      });
      stops.push(() => daemon.remove());

      // The broker queues for a session that it knows: the first life begins before the first reading.
      await daemon.start();
      const ending = new AbortController();
      const sending = sensors.run(rate, ending.signal);
      const children = new Set<number>();
      const ends = { start: 0, tick: 0 };
      for (const { after, ms } of fc.sample(killPoint, { numRuns: kills, seed })) {
        if (after === "tick") {
          const { modelProcess } = await daemon.eventually(({ site }) => site.isOnline, "is online");
          children.add(modelProcess.pid ?? 0);
          await nextTick();
        }
        await sleep(ms);
        expect(await daemon.kill(), daemon.text).toEqual({ code: null, signal: "SIGKILL" });
        ends[after]++;
        daemon.spawn();
      }
      ending.abort();
      await sending;
      await daemon.eventually(({ site }) => site.isOnline, "is online");
      await told.untilQuiet(sensors.sent - motes * (windowSize - 1));
      const { log } = daemon;
      expect(await daemon.stop()).toEqual({ code: 0, signal: null });

      expect(sensors.acknowledged).toBe(sensors.sent);
      const ids = new Map<number, string>();
      const wrong: string[] = [];
      let rows = 0;
      await eachStored(daemon.dataDir, "env", fields, (reading) => {
        rows++;
        const n = sensors.numberOf(reading.ts);
        const { ts: _ts, ...values } = sensors.reading(n);
        const isSent = n >= 0 && n < sensors.sent && reading.source.mote === sensors.moteOf(n);
        const isSame = Object.entries(values).every(([name, value]) => reading.fields[name] === value);
        const known = ids.get(n) ?? reading.id;
        if (!isSent || !isSame || known !== reading.id) wrong.push(JSON.stringify(reading));
        ids.set(n, reading.id);
      });
      const numbers = Array.from({ length: sensors.sent }, (_, n) => n);
      expect(wrong).toEqual([]);
      expect(runsOf(numbers.filter((n) => !ids.has(n)))).toEqual([]);
      expect(new Set(ids.values()).size).toBe(sensors.sent);
      const untold = numbers.filter((n) => n >= motes * (windowSize - 1) && !told.ids.has(n));
      const complaints = log.filter(({ event }) => event.includes("could not be published")).length;
      expect({ untold: runsOf(untold), complaints }).toEqual({ untold: [], complaints: 0 });
      expect(told.contradictions).toEqual([]);
      expect(new Set(told.ids.values()).size).toBe(told.ids.size);
      expect(integrityOf(daemon.dataDir)).toEqual(["ok", "ok"]);
      await expect.poll(() => [...children].filter(isAlive), { timeout: 5_000 }).toEqual([]);
      console.log(
        `${kills} kills (${ends.tick} at merge or checkpoint): ${sensors.sent} readings acknowledged, 0 lost, ` +
          `${rows - ids.size} stored again under the same id; ${told.count - told.ids.size} results repeated`,
      );
    },
    300_000 + kills * 6_000,
  );
});
