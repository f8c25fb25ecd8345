import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Frame, readingFlags, type Source } from "../base/frame.ts";
import type { Repeat } from "../wire/link-redelivery.ts";
import type { CodecOptions } from "./codecs/codec-options.ts";
import { createDecoder } from "./codecs/codec-table.ts";
import type { Decoder } from "./codecs/decoder.ts";
import { ReadingBatch } from "./codecs/reading-batch.ts";
import { Columns } from "./columns.ts";
import { type DeadLetter, deadLetter } from "./dead-letter.ts";
import { type Origin, SourceTable } from "./source-table.ts";
import { compilePattern, type TopicPattern } from "./topic-pattern.ts";

export type IntakeOptions = {
  readonly name: string;
  readonly stream: CodecOptions & {
    readonly topic: string;
    readonly exclude: readonly string[];
    readonly maxPayload: number;
    readonly maxSources: number;
  };
  readonly clock: Clock;
  /** The stream's dictionary as the journal has it: an index is never given to another source. */
  readonly sources: readonly Source[];
  /** Sequence number of the next reading. */
  readonly next: number;
  /** Waiting readings, and bytes of waiting payloads, beyond which QoS 0 messages are refused. */
  readonly maxPending?: number;
  readonly maxPendingBytes?: number;
  onDead(letter: DeadLetter): void;
  /** Each reading, in order; `values` is valid during the call only. Must not call `take`. */
  onReading?(source: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void;
};

const defaultMaxPending = 65_536;
const defaultMaxPendingBytes = 64 * 2 ** 20;
/** No gateway of this kind ran before: a clock that says so has not been set. */
const clockFloor = Date.UTC(2024, 0, 1);
/**
 * A sensor time so far ahead of a trusted clock is stored, but makes nothing after it late: one glitch must not keep
 * a source out of its windows for years.
 */
const believedAheadMs = 600_000;

/**
 * Takes a stream's messages: a payload becomes readings or a dead letter, once. Readings gather here, in order of
 * arrival, until a commit takes them. No wall clock, however wrong, keeps a reading out.
 */
export class Intake {
  readonly name: string;
  readonly fields: readonly string[];
  readonly keepsPayload: boolean;
  readonly pattern: TopicPattern;
  /** Since the start. messages = those that gave readings or none (empty) + dead + refused + repeats. */
  readonly counters = {
    messages: 0,
    readings: 0,
    /** Fields that payloads lacked, and readings that lacked all of them. */
    skipped: 0,
    empty: 0,
    late: 0,
    /** Readings from more than 10 minutes ahead. */
    future: 0,
    dead: 0,
    refused: 0,
    repeats: 0,
  };
  readonly #options: IntakeOptions;
  readonly #maxPending: number;
  readonly #maxPendingBytes: number;
  readonly #decoder: Decoder;
  readonly #batch: ReadingBatch;
  readonly #columns: Columns;
  readonly #sources: SourceTable;
  /** Newest sensor time by source, ms. */
  readonly #newest: number[] = [];
  readonly #row: Float64Array;
  #next: number;
  #first: number;

  /** @throws TidegateError CODEC_INVALID */
  constructor(options: IntakeOptions) {
    const { name, stream, sources, next } = options;
    this.#options = options;
    this.#maxPending = options.maxPending ?? defaultMaxPending;
    this.#maxPendingBytes = options.maxPendingBytes ?? defaultMaxPendingBytes;
    this.name = name;
    this.#decoder = createDecoder(stream);
    this.fields = this.#decoder.fields;
    this.keepsPayload = this.#decoder.keepsPayload;
    this.pattern = compilePattern(stream.topic, stream.exclude);
    this.#batch = new ReadingBatch(this.fields.length);
    this.#row = new Float64Array(this.fields.length);
    this.#columns = new Columns(this.fields, this.keepsPayload);
    this.#sources = new SourceTable(name, stream.maxSources, sources);
    this.#next = next;
    this.#first = next;
  }

  /** Every source seen, by index. */
  get sources(): readonly Source[] {
    return this.#sources.all;
  }

  /** Sequence number that the next reading gets. */
  get next(): number {
    return this.#next;
  }

  /** Readings that no commit has taken yet. */
  get pending(): number {
    return this.#columns.count;
  }

  /** Bytes of payloads that no commit has taken yet; 0 where payloads are not kept. */
  get pendingBytes(): number {
    return this.#columns.payloadBytes;
  }

  /** What a topic stands for; null when this stream does not take it. */
  originOf(topic: string): Origin | null {
    const source = this.pattern.match(topic);
    return source && { topic, source, index: -1 };
  }

  /**
   * Takes one message. QoS 0 messages are refused while too much waits; QoS 1 messages never are, since they will be
   * acknowledged: the link's window bounds them.
   * @param payload  valid during the call only
   */
  accept(origin: Origin, payload: Uint8Array, repeat: Repeat, qos: number): void {
    this.counters.messages++;
    if (repeat === "certain") {
      this.counters.repeats++;
      return;
    }
    if (qos === 0 && (this.pending >= this.#maxPending || this.pendingBytes >= this.#maxPendingBytes)) {
      this.counters.refused++;
      return;
    }
    const batch = this.#batch;
    let source = -1;
    try {
      const { maxPayload } = this.#options.stream;
      if (payload.length > maxPayload)
        throw new TidegateError("PAYLOAD_TOO_LARGE", { actual: payload.length, unit: "bytes", limit: maxPayload });
      batch.clear();
      this.#decoder.decode(payload, batch);
      if (batch.count > 0) source = this.#sources.indexOf(origin);
    } catch (thrown) {
      const error = thrown instanceof TidegateError ? thrown : new TidegateError("BUG", { detail: reasonOf(thrown) });
      this.counters.dead++;
      this.#options.onDead(deadLetter(this.name, origin.topic, payload, error, this.#options.clock.now()));
      return;
    }
    this.counters.skipped += batch.skipped;
    this.counters.empty += batch.empty;
    if (batch.count > 0) this.#take(source, payload, repeat === "maybe" ? readingFlags.maybeRepeated : 0);
  }

  /**
   * What waits, for a commit: the readings as a frame, and the sources that the journal does not have yet. The next
   * readings start a new frame; the sources come again until `markStored`.
   */
  take(): { frame: Frame | null; newSources: Source[] } {
    const frame = this.#columns.take(this.#identity());
    this.#first = this.#next;
    return { frame, newSources: this.#sources.unstored };
  }

  /** What waits for a commit, left where it is. */
  waiting(): Frame | null {
    return this.#columns.copy(this.#identity());
  }

  #identity() {
    const { clock } = this.#options;
    // Of now, not of each arrival: when the clock was set in between, the newer time is the better one.
    const wallOffset = Math.round(clock.now() - clock.monotonic());
    return { stream: this.name, first: this.#first, boot: clock.bootId, wallOffset };
  }

  /** Erases sources: their names go, and what comes of them from now on is of new ones. @returns the indexes that they had */
  eraseSources(isGone: (source: Source) => boolean): number[] {
    return this.#sources.erase(isGone);
  }

  /** The journal has the first `count` sources. */
  markStored(count: number): void {
    this.#sources.markStored(count);
  }

  #take(source: number, payload: Uint8Array, marks: number): void {
    const { clock, onReading } = this.#options;
    const { count, values, ts } = this.#batch;
    const wall = clock.now();
    const isTrusted = wall >= clockFloor;
    const arrived = Math.floor(clock.monotonic());
    const base = marks | (isTrusted ? 0 : readingFlags.clockUntrusted);
    const horizon = isTrusted ? wall + believedAheadMs : Number.POSITIVE_INFINITY;
    const width = this.fields.length;
    const columns = this.#columns;
    // All of the payload first, then the calls: whatever those do, the payload is stored whole.
    const firstRow = columns.count;
    for (let i = 0; i < count; i++) {
      const sensorTime = ts[i] as number;
      if (Number.isNaN(sensorTime)) columns.push(source, wall, arrived, base, values, i * width);
      else
        columns.push(source, sensorTime, arrived, base | this.#judge(source, sensorTime, horizon), values, i * width);
    }
    if (this.keepsPayload) columns.keepPayload(payload, count);
    const firstSequence = this.#next;
    this.#next += count;
    this.counters.readings += count;
    if (!onReading) return;
    const row = this.#row;
    for (let i = 0; i < count; i++) {
      for (let field = 0; field < width; field++) row[field] = values[i * width + field] as number;
      onReading(source, firstSequence + i, columns.tsAt(firstRow + i), arrived, row, columns.flagsAt(firstRow + i));
    }
  }

  #judge(source: number, sensorTime: number, horizon: number): number {
    const newest = this.#newest[source];
    if (sensorTime > horizon) this.counters.future++;
    if (newest !== undefined && sensorTime < newest && newest <= horizon) {
      this.counters.late++;
      return readingFlags.sensorTime | readingFlags.late;
    }
    this.#newest[source] = sensorTime;
    return readingFlags.sensorTime;
  }
}
