import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import type { Result } from "../../base/result.ts";
import { loadConfig } from "../../config/load.ts";
import { ephemeralKeyRing } from "../../crypto/key-ring.ts";
import { startBroker } from "../../drivers/aedes.ts";
import { Gateway } from "../../gateway.ts";
import { createLog } from "../../ops/log.ts";
import { Link } from "../../wire/link.ts";
import { LiveLines } from "../terminal/live-lines.ts";
import type { Io } from "../verb.ts";
import { packageVersion } from "../version.ts";
import { demoConfig } from "./demo-config.ts";
import { DemoSink } from "./demo-sink.ts";
import { byTime, type MoteReading, motePeriodMs, readMotes } from "./mote-data.ts";
import type { DemoOutcome, MoteOutcome } from "./outcome.ts";
import { Progress } from "./progress.ts";
import { replayMotes, speedFor } from "./replay.ts";
import { score, stepDetector, total } from "./scoreboard.ts";

export type DemoOptions = { readonly io: Io; readonly durationMs?: number; readonly speed?: number };

const defaultDurationMs = 60_000;
/** Part of the time that the replay may take: the rest is for start and end. */
const replayShare = 0.85;
/** Readings whose labels nobody looked at: thresholds come from them. */
const prefix = 1_000;
const windowSize = 16;
const progressMs = 200;

/** Everything on this machine: two brokers, a gateway, the sink, and four motes of real readings. */
export class Demo {
  readonly #options: DemoOptions;
  readonly #motes = readMotes();
  readonly #alarms = new Map<number, boolean[]>();

  constructor(options: DemoOptions) {
    this.#options = options;
    for (const [mote, readings] of this.#motes)
      this.#alarms.set(
        mote,
        readings.map(() => false),
      );
  }

  async run(): Promise<DemoOutcome> {
    const start = performance.now();
    const dir = mkdtempSync(join(tmpdir(), "tidegate-demo-"));
    const stops: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })];
    try {
      return await this.#play(dir, stops, start);
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  }

  async #play(dir: string, stops: (() => Promise<unknown>)[], start: number): Promise<DemoOutcome> {
    const { io, durationMs = defaultDurationMs } = this.#options;
    const site = await startBroker();
    stops.push(() => site.stop());
    const cloud = await startBroker();
    stops.push(() => cloud.stop());
    const log = createLog({ level: "warn" });
    const keys = ephemeralKeyRing();
    const sink = await DemoSink.start({ url: cloud.url, gatewayKey: keys.signer.publicKey, dir, log });
    stops.push(() => sink.stop());
    const { config } = loadConfig({
      text: demoConfig(site.url, cloud.url, sink.dataKey),
      baseDir: dir,
      file: join(dir, "tidegate.yaml"),
    });
    const gateway = new Gateway({
      config,
      keys,
      version: packageVersion(),
      clock: systemClock,
      log,
      onResult: (result) => this.#note(result),
    });
    await gateway.start(io.signal);
    stops.push(() => gateway.stop(5_000));
    const sensors = this.#sensors(site.url, log);
    await sensors.start();
    stops.push(() => sensors.stop(1_000));
    while (!sensors.state.isOnline || !(gateway.status().site?.isOnline ?? false))
      await new Promise((done) => setTimeout(done, 5));

    const readings = byTime(this.#motes);
    const left = durationMs - (performance.now() - start);
    const ending = AbortSignal.any([io.signal, AbortSignal.timeout(Math.max(1, Math.round(left)))]);
    const replayStart = performance.now();
    const taken = () => gateway.status().streams.env?.readings ?? 0;
    const progress = new Progress({
      lines: new LiveLines(io),
      gateway,
      sink,
      total: readings.length,
      start: replayStart,
    });
    const ticker = setInterval(() => void progress.show(), progressMs);
    stops.push(async () => clearInterval(ticker));
    const speed = this.#options.speed ?? speedFor(readings, left * replayShare);
    const sent = await replayMotes(readings, {
      speed,
      publish: (topic, payload) => sensors.publish(topic, payload, { qos: 1 }),
      taken,
      signal: ending,
    });
    while (taken() < sent && !io.signal.aborted && performance.now() - start < durationMs + 2_000)
      await new Promise((done) => setTimeout(done, 5));
    const replayMs = performance.now() - replayStart;
    await gateway.settle();
    await gateway.aggregate(true);
    await gateway.journal.merge();
    const isUplinked = await sink.expect(() => gateway.owed(), 5_000);
    if (!isUplinked) log.warn("the sink has not confirmed everything in time");
    clearInterval(ticker);
    await progress.show(true);
    await gateway.journal.checkpoint();
    return this.#outcome(gateway, sink, sent, performance.now() - start, replayMs);
  }

  #sensors(url: string, log: ReturnType<typeof createLog>): Link {
    return new Link({
      name: "motes",
      settings: { url, protocol: "3.1.1", receiveMaximum: 1_000, sessionExpiry: 0, keepalive: 30_000 },
      clientId: "demo-motes",
      credentials: {},
      subscriptions: [],
      ack: "auto",
      maxPacket: 65_536,
      onMessage: () => {},
      clock: systemClock,
      log,
      random: Math.random,
    });
  }

  #note({ source, ts, verdict }: Result): void {
    const mote = Number(source.mote);
    const first = this.#motes.get(mote)?.[0];
    const alarms = this.#alarms.get(mote);
    if (first && alarms) alarms[Math.round((ts - first.ts) / motePeriodMs)] = verdict === "alarm";
  }

  async #outcome(
    gateway: Gateway,
    sink: DemoSink,
    sent: number,
    durationMs: number,
    replayMs: number,
  ): Promise<DemoOutcome> {
    const motes = [...this.#motes].map(([mote, readings]): MoteOutcome => {
      const alarms = this.#alarms.get(mote) ?? [];
      return { mote, readings, alarms, score: score(readings, alarms, windowSize) };
    });
    const found = total(motes.map((mote) => mote.score));
    const oneLiner = total(motes.map(({ readings }) => score(readings, stepDetector(readings, prefix), windowSize)));
    const stats = await gateway.journal.stats();
    const { env } = gateway.status().streams;
    const stored = stats.streams.env;
    return {
      motes,
      isComplete:
        sent === [...this.#motes.values()].reduce((sum: number, readings: MoteReading[]) => sum + readings.length, 0),
      summary: {
        readings: stored?.readings ?? 0,
        inferences: env?.inferences ?? 0,
        events: found.events,
        falseEpisodes: found.falseEpisodes,
        falseAlarms: found.falseAlarms,
        normalReadings: found.normalReadings,
        blocks: stored?.blocks ?? 0,
        bytesPerReading: Math.round((100 * stats.fileBytes) / Math.max(1, stored?.readings ?? 0)) / 100,
        uplinked: sink.messages,
        durationMs: Math.round(durationMs),
        memoryMB: Math.round(process.memoryUsage.rss() / 1e6),
        delays: found.delays,
        oneLiner,
        readingsPerSecond: Math.round((1000 * sent) / replayMs),
      },
    };
  }
}
