import { systemClock } from "../../src/base/clock.ts";
import { type Frame, readingFlags } from "../../src/base/frame.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Result } from "../../src/base/result.ts";
import type { Commit, Snapshot, StreamState } from "../../src/buffer/commit.ts";
import type { StreamConfig } from "../../src/config/config.ts";
import { Collector } from "../../src/gateway/collector.ts";
import { Committer } from "../../src/gateway/committer.ts";
import { confirmed } from "../../src/gateway/publisher.ts";
import { Recovery } from "../../src/gateway/recovery.ts";
import { Snapshots } from "../../src/gateway/snapshots.ts";
import { StreamPath } from "../../src/gateway/stream-path.ts";
import { headBytes } from "../../src/inference/framing.ts";
import type { ModelHost } from "../../src/inference/model-host.ts";
import { Scheduler } from "../../src/inference/scheduler.ts";
import { DeadLetters } from "../../src/ingest/dead-letter.ts";
import { Intake } from "../../src/ingest/intake.ts";
import { hostedModel } from "./held-host.ts";

/** What a disk holds over the lives of a gateway: frames, cursor and snapshot. */
export class Disk {
  readonly frames: Frame[] = [];
  inferred = 0;
  saved: Snapshot | null = null;
  commits = 0;
  /** It takes nothing. */
  isFailing = false;

  get next(): number {
    const last = this.frames.at(-1);
    return last ? last.first + last.count : 0;
  }

  get state(): StreamState {
    const cursors = { inferred: this.inferred, aggregated: 0, uplinked: 0 };
    return { next: this.next, cursors, sources: [{ mote: "m0" }, { mote: "m1" }] } as unknown as StreamState;
  }

  /** Readings of one source, 1 ms apart: reading n has the value n. */
  add(readings: number): void {
    for (let at = 0; at < readings; at += 1_000) this.#add(Math.min(1_000, readings - at));
  }

  #add(count: number): void {
    const numbers = Array.from({ length: count }, (_, i) => this.next + i);
    this.frames.push({
      ...{ stream: "env", fields: ["a"], first: this.next, count, boot: "another", wallOffset: 1.7e12 },
      source: new Uint32Array(count),
      ts: Float64Array.from(numbers, (n) => 1.7e12 + n),
      arrived: Float64Array.from(numbers),
      flags: new Uint8Array(count).fill(readingFlags.sensorTime),
      values: [Float64Array.from(numbers)],
    });
  }

  async commit({ frames, cursors, snapshots }: Commit): Promise<void> {
    if (this.isFailing) throw new Error("the disk takes nothing");
    this.commits++;
    this.frames.push(...frames);
    this.inferred = Math.max(this.inferred, cursors.env?.inferred ?? 0);
    this.saved = snapshots.at(-1) ?? this.saved;
  }

  async read(_stream: string, { from = 0, to = this.next, limit }: { from?: number; to?: number; limit: number }) {
    const found: Frame[] = [];
    let readings = 0;
    for (const frame of this.frames) {
      if (frame.first + frame.count <= from || frame.first >= to || readings >= limit) continue;
      const [start, end] = [Math.max(0, from - frame.first), Math.min(frame.count, to - frame.first)];
      found.push({
        ...frame,
        first: frame.first + start,
        count: end - start,
        source: frame.source.slice(start, end),
        ts: frame.ts.slice(start, end),
        arrived: frame.arrived.slice(start, end),
        flags: frame.flags.slice(start, end),
        values: frame.values.map((column) => column.slice(start, end)),
      });
      readings += end - start;
    }
    return found;
  }

  async snapshot() {
    return this.saved;
  }
}

/** Nothing is cleaned. */
export const cleaned = {
  ...({ range: {}, missing: "drop", missingLimit: 60_000, duplicates: "keep", outliers: "none" } as const),
  hampel: { window: 7, sigmas: 3 },
};

/** A broker that confirms results at once, or never, or up to a number of them. */
export type Confirming = { limit: number };

/**
 * One life of a stream's path on a disk: intake, path, scheduler and committer are the real ones; the model answers in
 * the next turn of the loop with the newest value of the window, the broker as it is told.
 */
export class Life {
  readonly clock = systemClock;
  readonly results: Result[] = [];
  readonly path: StreamPath;
  readonly scheduler: Scheduler;
  readonly committer: Committer<Commit>;
  readonly collector: Collector;
  readonly snapshots: Snapshots;
  readonly ending = new AbortController();
  readonly #disk: Disk;
  readonly #confirming: Confirming;
  #unconfirmed: (() => void)[] = [];
  #model: (() => void)[] = [];
  /** The model stands still while it is false. */
  isComputing = true;

  constructor(disk: Disk, stream: Partial<StreamConfig> & Record<string, unknown> = {}, confirming = { limit: 1e9 }) {
    this.#disk = disk;
    this.#confirming = confirming;
    const { clock } = this;
    const config = {
      ...{ topic: "motes/{mote}/env", exclude: [], codec: "json", fields: { a: "a" }, timestamp: "ts", qos: 1 },
      ...{ maxPayload: 1e6, maxSources: 16, transform: [], normalize: "none", uplink: "none" },
      clean: cleaned,
      window: { size: 2, hop: 1, maxGap: 1e9 },
      alarm: { onAfter: 1, offAfter: 1, silentAfter: 0 },
      publish: { when: "all", minInterval: 0, retain: false },
      ...stream,
    } as unknown as StreamConfig;
    const model = hostedModel();
    const host: Pick<ModelHost, "run"> = {
      run: (_model, frame, count, width, take) =>
        new Promise((resolve) => {
          const answer = () => {
            const windows = new Float32Array(frame.slice(headBytes).buffer);
            const newest = Array.from({ length: count }, (_, i) => windows[(i + 1) * width - 1] ?? 0);
            take(new Uint8Array(Float32Array.from([...newest, ...newest, ...newest]).buffer));
            resolve();
          };
          this.#model.push(answer);
          setImmediate(() => this.compute());
        }),
    };
    this.scheduler = new Scheduler({ host, clock, log: silentLog, onResults: (batch) => this.path.onResults(batch) });
    const intake = new Intake({
      name: "env",
      stream: config,
      clock,
      sources: disk.state.sources,
      next: disk.next,
      onDead: (letter) => {
        throw new Error(JSON.stringify(letter));
      },
      onReading: (...reading) => this.path.onReading(...reading),
    } as ConstructorParameters<typeof Intake>[0]);
    const width = (config.window?.size ?? 1) * 1;
    this.scheduler.open({ stream: "env", model, width, whenFull: "hold", maxWaiting: 4_096 });
    this.path = new StreamPath({
      ...{ name: "env", config, intake, scheduler: this.scheduler, clock, log: silentLog },
      model: { card: model.bundle.card, fields: ["a"] },
      link: { send: () => null, publish: (_topic, payload) => this.#publish(payload.toString()) },
      topicOf: () => "results",
      onResult: () => {},
    });
    this.collector = new Collector({
      paths: [this.path],
      letters: new DeadLetters(),
      lastTicket: () => 0,
      hasCloud: false,
    });
    this.committer = new Committer<Commit>({
      ...{ maxDelayMs: 50, maxHeld: () => 1e9, maxReadings: 8_192, onFull: "shed", clock, log: silentLog },
      waiting: () => ({ held: 0, readings: this.collector.pending }),
      collect: this.collector.collect,
      write: (commit) => disk.commit(commit),
      release: () => {},
      onFailing: () => {},
    });
    this.snapshots = new Snapshots(this.scheduler, clock);
  }

  /** Takes up what the disk holds; resolves when it has caught up or the life ends. */
  async recover(): Promise<void> {
    await (await this.prepare()).run(this.ending.signal);
  }

  /** Everything before readings come. */
  async prepare(): Promise<Recovery> {
    const { path, scheduler, committer, collector } = this;
    const recovery = new Recovery({ path, scheduler, committer, collector, journal: this.#disk, log: silentLog });
    await recovery.prepare(this.#disk.state);
    return recovery;
  }

  /** Readings `from` to `to - 1` arrive: 1 ms apart, reading n has the value n. */
  take(from: number, to: number): void {
    for (let n = from; n < to; n++) this.read("m0", n, n);
  }

  /** A reading of a source arrives. @param at  its time, ms since the start */
  read(mote: string, at: number, a: number): void {
    const origin = this.path.intake.originOf(`motes/${mote}/env`);
    if (!origin) throw new Error("no such source");
    this.path.intake.accept(origin, Buffer.from(JSON.stringify({ ts: 1.7e12 + at, a })), "no", 1);
  }

  /** Every window has its result, and the broker has confirmed it. */
  async settled(): Promise<void> {
    await this.scheduler.drained();
    await confirmed([this.path], this.clock);
  }

  compute(): void {
    if (this.isComputing) for (const answer of this.#model.splice(0)) answer();
  }

  /** The broker confirms more. */
  confirm(limit: number): void {
    this.#confirming.limit = limit;
    while (this.#confirming.limit > 0 && this.#unconfirmed.length > 0) {
      this.#confirming.limit--;
      this.#unconfirmed.shift()?.();
    }
  }

  /** Times of the results that were given, less the start: the numbers of their readings. */
  get given(): number[] {
    return this.results.map(({ ts }) => ts - 1.7e12);
  }

  #publish(payload: string): Promise<{ reason: number }> {
    this.results.push(JSON.parse(payload) as Result);
    return new Promise((resolve) => {
      this.#unconfirmed.push(() => resolve({ reason: 0 }));
      this.confirm(this.#confirming.limit);
    });
  }
}
