import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { type Frame, isErasedSource, renderSource, type Source } from "../base/frame.ts";
import type { Log } from "../base/log.ts";
import type { Result } from "../base/result.ts";
import type { StreamConfig } from "../config/config.ts";
import type { Card } from "../inference/card.ts";
import type { BatchResult, LostWindows } from "../inference/lane.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { VerdictTracker } from "../inference/verdict.ts";
import type { Intake } from "../ingest/intake.ts";
import { Pipeline } from "../preprocess/pipeline.ts";
import { Publisher, type PublishingLink } from "./publisher.ts";
import { renderResult } from "./result-text.ts";

export type StreamPathOptions = {
  readonly name: string;
  readonly config: StreamConfig;
  readonly intake: Intake;
  readonly scheduler: Scheduler;
  /** Absent for a stream that is only stored. */
  readonly model?: { readonly card: Card; readonly fields: readonly string[] };
  readonly link: PublishingLink;
  topicOf(source: string): string;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * A result was given, and whether it begins or ends an alarm: for the outbox, and for whoever watches.
   * @param text  the result as JSON
   */
  onResult(path: StreamPath, result: Result, text: string, isAlarmEdge: boolean): void;
};

/** Name of the snapshot in the journal that holds windows, statistics and verdicts of a stream. */
export const snapshotName = "path";

/**
 * The way of one stream's readings from intake to published result. Everything after the intake is computed from
 * readings in order, so that the journal, played through `replay`, brings it back to where it was. Until it has caught
 * up, readings that arrive are stored only: they are played in their turn.
 */
export class StreamPath {
  readonly name: string;
  readonly config: StreamConfig;
  readonly intake: Intake;
  readonly publisher: Publisher;
  readonly #options: StreamPathOptions;
  readonly #pipeline: Pipeline | undefined;
  /** Readings in a window; null for a stream that is only stored. */
  readonly windowSize: number | null = null;
  readonly #tracker: VerdictTracker | undefined;
  readonly #cards = new Map<number, Card>();
  /** Sources in alarm, as was last told. */
  readonly #alarming = new Set<string>();
  readonly counters = { inferences: 0, results: 0, shed: 0, lostWindows: { overflow: 0, model: 0 } };
  /** Sequence number below which everything is in the journal. */
  committed: number;
  /** Readings that were committed since the start. */
  stored = 0;
  /** Readings below it went through the pipeline; undefined once readings do as they arrive. */
  #playedTo: number | undefined;
  /** Where this life began to play the journal. */
  replayedFrom: number;
  /** Results below it were given in an earlier life. */
  #silentTo = 0;
  /** Told after each commit that held readings of this stream. */
  onStored: (() => void) | undefined;

  constructor(options: StreamPathOptions) {
    const { name, config, intake, model, link, log, scheduler } = options;
    this.name = name;
    this.config = config;
    this.intake = intake;
    this.committed = intake.next;
    this.replayedFrom = intake.next;
    this.#options = options;
    this.publisher = new Publisher({
      link,
      qos: config.qos,
      retain: config.publish.retain,
      topicOf: (source) => options.topicOf(renderSource(source)),
      log,
    });
    if (!model) return;
    this.adopt(model.card);
    const sourceOf = (index: number): Source => intake.sources[index] ?? {};
    this.#tracker = new VerdictTracker({
      stream: name,
      alarm: {
        onAfter: config.alarm.onAfter,
        offAfter: config.alarm.offAfter,
        silentAfterMs: config.alarm.silentAfter,
      },
      publish: { when: config.publish.when, minIntervalMs: config.publish.minInterval },
      sourceOf,
    });
    const window = config.window ?? windowOf(model.card);
    this.windowSize = window.size;
    this.#pipeline = new Pipeline({
      stream: config,
      fields: intake.fields,
      outputs: model.fields,
      window,
      emit: (source, sequence, ts, arrived, window) => scheduler.enqueue(name, source, sequence, ts, arrived, window),
    });
  }

  /** From now on results of this version are judged by its card. */
  adopt(card: Card): void {
    this.#cards.set(card.version, card);
  }

  /** Takes one reading, in order; called by the intake. */
  onReading = (
    source: number,
    sequence: number,
    ts: number,
    arrived: number,
    values: Float64Array,
    flags: number,
  ): void => {
    if (this.#playedTo === undefined) this.#take(source, sequence, ts, arrived, values, flags);
  };

  #take(source: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void {
    this.#tracker?.heard(source, arrived);
    this.#pipeline?.push(source, sequence, ts, arrived, values, flags);
  }

  /** Takes the results of one batch. */
  onResults(batch: BatchResult): void {
    // What an earlier life has given is computed again only for what builds on it.
    for (let i = 0; i < batch.n; i++) if ((batch.sequences[i] as number) >= this.#silentTo) this.counters.inferences++;
    const card = this.#cards.get(batch.version);
    if (card) this.#tracker?.accept(batch, card, this.#options.clock.monotonic(), this.#give);
  }

  onLost({ n, reason }: LostWindows): void {
    this.counters.lostWindows[reason] += n;
  }

  /** Looks for sources that have fallen silent, and for windows that time has closed. */
  tick(): void {
    // A replay is at another time.
    if (this.isReplaying) return;
    const now = this.#options.clock.monotonic();
    this.#pipeline?.tick(now);
    this.#tracker?.tick(now, this.#give);
  }

  /**
   * Forgets readings that are being erased: what windows hold of them, and the names of sources that go.
   * @param isGone  whether a source goes
   * @param isName  its name as well: whatever its time
   */
  erase(isGone: (source: Source) => boolean, isName: boolean): void {
    const indexes = this.intake.sources.flatMap((source, i) => (isGone(source) ? [i] : []));
    if (isName) {
      for (const source of this.intake.sources) if (isGone(source)) this.#alarming.delete(renderSource(source));
      this.#tracker?.forget(this.intake.eraseSources(isGone));
    }
    this.#pipeline?.forget(indexes);
  }

  #give = (result: Result, sequence: number): void => {
    // It was on its way when its source was erased.
    if (isErasedSource(result.source)) return;
    this.counters.results++;
    const source = renderSource(result.source);
    const isAlarm = result.verdict === "alarm";
    const isAlarmEdge = isAlarm !== this.#alarming.has(source);
    if (isAlarm) this.#alarming.add(source);
    else this.#alarming.delete(source);
    const text = renderResult(result);
    this.publisher.publish(result.source, text, sequence);
    this.#options.onResult(this, result, text, isAlarmEdge);
  };

  /** Readings below it are in the journal, inferred, and their results confirmed by the broker. */
  inferredUpTo(): number {
    if (!this.#pipeline) return Math.min(this.publisher.oldest, this.committed);
    const inferred = this.#options.scheduler.inferredUpTo(this.name);
    // A cell that is open, or a reading that waits, gives its window later: after a restart it would count as given.
    const played = this.#playedTo ?? Number.POSITIVE_INFINITY;
    return Math.min(inferred, played, this.#pipeline.openFrom, this.publisher.oldest, this.committed);
  }

  /** A commit that held `readings` of this stream, up to `next`, is durable. */
  onCommitted(next: number, readings: number): void {
    this.committed = Math.max(this.committed, next);
    this.stored += readings;
    this.onStored?.();
  }

  onShed(readings: number): void {
    this.counters.shed += readings;
  }

  /**
   * Begins a replay: readings from `from` on come through `replay`, until `goLive`.
   * @param inferred  results of readings below it were given
   * @param next  results of readings from here on were not
   */
  beginReplay(from: number, inferred: number, next: number): void {
    this.replayedFrom = from;
    this.#playedTo = from;
    this.#silentTo = inferred;
    this.#tracker?.recover(inferred - 1, next - 1);
  }

  get isReplaying(): boolean {
    return this.#playedTo !== undefined;
  }

  /** Readings that wait for their turn in a replay. */
  get behind(): number {
    return this.#playedTo === undefined ? 0 : this.intake.next - this.#playedTo;
  }

  /** Plays readings [from, to) of a frame through pipeline and model. */
  replay(frame: Frame, from = 0, to = frame.count): void {
    const { bootId } = this.#options.clock;
    const row = new Float64Array(frame.values.length);
    for (let i = from; i < to; i++) {
      for (let field = 0; field < row.length; field++) row[field] = frame.values[field]?.[i] ?? Number.NaN;
      // Monotonic times of another boot do not compare with this one's: such readings arrived "at the start".
      const arrived = frame.boot === bootId ? (frame.arrived[i] ?? 0) : 0;
      this.#take(frame.source[i] ?? 0, frame.first + i, frame.ts[i] ?? 0, arrived, row, frame.flags[i] ?? 0);
    }
    this.#playedTo = frame.first + to;
  }

  /** Ends a replay that has played all that no commit has in hand: what waits in the intake goes next, then what arrives. */
  goLive(): void {
    const waiting = this.intake.waiting();
    if (waiting) this.replay(waiting);
    this.#playedTo = undefined;
  }

  /**
   * State of windows and statistics now. Called once all windows so far have their results, the function that it gives
   * adds that of the verdicts.
   */
  snapshot(): (() => Uint8Array) | null {
    if (!this.#pipeline || !this.#tracker) return null;
    const pipeline = this.#pipeline.snapshot();
    const judged = this.#tracker;
    return () => {
      const tracker = judged.snapshot();
      const bytes = new Uint8Array(4 + pipeline.length + tracker.length);
      new DataView(bytes.buffer).setUint32(0, pipeline.length);
      bytes.set(pipeline, 4);
      bytes.set(tracker, 4 + pipeline.length);
      return bytes;
    };
  }

  /** @returns false when the snapshot is of another configuration or version: the journal is played from its start then */
  restore(bytes: Uint8Array): boolean {
    if (!this.#pipeline || !this.#tracker) return false;
    try {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      this.#pipeline.restore(bytes.subarray(4, 4 + length));
      this.#tracker.restore(bytes.subarray(4 + length), this.#options.clock.monotonic());
      return true;
    } catch (thrown) {
      this.#options.log.warn({ reason: reasonOf(thrown) }, "snapshot not usable, starting from the journal");
      return false;
    }
  }

  /** How each source stands: verdict and how full its window is. */
  get sources() {
    return this.intake.sources.map((source, index) => ({
      source,
      verdict: this.#tracker?.verdictOf(index) ?? null,
      fill: this.#pipeline?.fill(index) ?? 0,
    }));
  }

  get isJudged(): boolean {
    return this.#pipeline !== undefined;
  }

  get dropped(): Readonly<Record<string, number>> {
    return this.#pipeline?.counters.dropped ?? {};
  }
}

const windowOf = (card: Card) => ({
  size: card.window?.size ?? 1,
  hop: card.window?.hop ?? 1,
  maxGap: card.window?.maxGap ?? Number.POSITIVE_INFINITY,
});
