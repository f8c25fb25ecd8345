import { statSync } from "node:fs";
import { join } from "node:path";
import { FakeClock } from "../../src/base/clock.ts";
import { emptyCommit } from "../../src/buffer/commit.ts";
import { Store } from "../../src/buffer/store.ts";
import { byTime, readMotes } from "../../src/commands/demo/mote-data.ts";
import { loadConfig } from "../../src/config/load.ts";
import { exportReadings } from "../../src/gateway/buffer-export.ts";
import { Intake } from "../../src/ingest/intake.ts";

export type JournalRun = {
  /** Of buffer.db after the last merge, its log emptied. */
  readonly fileBytes: number;
  readonly rows: number;
};

export type JournalLoad = {
  readonly dir: string;
  /** Readings a second of all four motes together. */
  readonly rate: number;
  /** By how much a sensor's own clock wavers around its period, ms. */
  readonly sensorJitterMs: number;
};

const minute = 60_000;
/** Between sensor and gateway, ms: what a radio and a broker take, and what they take at most on top. */
const [transitMs, transitJitterMs] = [8, 25];

const configText = `version: 1
gateway: { id: bench, fleet: bench, dataDir: data, profile: raspberry-pi-zero-2w }
sensors: { url: "mqtt://127.0.0.1:1883" }
streams:
  env:
    topic: "bench/{mote}/env"
    codec: json
    fields: { humidity: humidity, temperature: temperature }
    timestamp: ts
`;

/**
 * Days of live readings in the time that the disk needs: the mote data through intake and journal as the SD profile
 * commits them, by a clock that is moved on; merged and checkpointed when the schedules would.
 */
export async function playLive({ dir, rate, sensorJitterMs }: JournalLoad): Promise<JournalRun> {
  const { config } = loadConfig({ text: configText, baseDir: dir, file: join(dir, "tidegate.yaml") });
  const { env: stream } = config.streams;
  if (!stream) throw new Error("the configuration has no stream");
  const { commitMaxDelay, blockReadings } = config.buffer;
  const clock = new FakeClock(Date.UTC(2026, 0, 5));
  const store = new Store(
    {
      dir: config.gateway.dataDir,
      storageRoot: new Uint8Array(32).fill(7),
      streams: [{ name: "env", fields: Object.keys(stream.fields), keep: stream.keep }],
      limits: { maxBytes: 2 ** 31, minFree: { bytes: 0 } },
      blockReadings,
      synchronous: "FULL",
    },
    ({ event }) => {
      throw new Error(`the journal: ${event}`);
    },
  );
  const intake = new Intake({
    ...{ name: "env", stream, clock, sources: [], next: 0 },
    onDead: ({ reason }) => {
      throw new Error(reason);
    },
  });
  const random = dice();
  let stored = 0;
  const commit = () => {
    const { frame, newSources } = intake.take();
    if (!frame) return;
    const at = intake.sources.length - newSources.length;
    stored += frame.count;
    const cursors = { env: { inferred: stored } };
    store.commit({ ...emptyCommit, frames: [frame], sources: [{ stream: "env", at, sources: newSources }], cursors });
    intake.markStored(intake.sources.length);
  };
  const begin = clock.now();
  const due = { commit: commitMaxDelay, merge: 2 * minute, checkpoint: 10 * minute };
  for (const [i, { mote, humidity, temperature }] of byTime(readMotes()).entries()) {
    const sentAt = begin + Math.round((i * 1000) / rate + (random() - 0.5) * 2 * sensorJitterMs);
    clock.advance(Math.max(0, begin + (i * 1000) / rate + transitMs + random() * transitJitterMs - clock.now()));
    const now = clock.now() - begin;
    for (; due.commit <= now; due.commit += commitMaxDelay) commit();
    for (; due.merge <= now; due.merge += 2 * minute) while (store.mergeStep() > 0);
    for (; due.checkpoint <= now; due.checkpoint += 10 * minute) store.checkpoint();
    const origin = intake.originOf(`bench/${mote}/env`);
    if (origin) intake.accept(origin, Buffer.from(JSON.stringify({ ts: sentAt, humidity, temperature })), "no", 1);
  }
  commit();
  while (store.mergeStep() > 0);
  store.checkpoint();
  let rows = 0;
  const from = { read: store.read.bind(store), sourcesOf: (name: string) => store.stateOf(name).sources };
  for await (const lines of exportReadings({ stream: "env" }, from)) rows += lines.length;
  store.close();
  const fileBytes = statSync(join(config.gateway.dataDir, "buffer.db")).size;
  return { fileBytes, rows };
}

/** The same throws in every run. */
function dice(): () => number {
  let seed = 42;
  return () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
}
