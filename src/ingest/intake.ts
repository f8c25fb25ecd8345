import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Frame, readingFlags, renderSource, type Source } from "../base/frame.ts";
import type { CodecOptions } from "./codecs/codec-options.ts";
import { createDecoder } from "./codecs/codec-table.ts";
import type { Decoder } from "./codecs/decoder.ts";
import { ReadingBatch } from "./codecs/reading-batch.ts";
import { Columns } from "./columns.ts";
import { type DeadLetter, deadPayloadBytes } from "./dead-letter.ts";
import { compilePattern, filterCovers, type TopicPattern } from "./topic-pattern.ts";

export type IntakeOptions = {
  readonly name: string;
  readonly stream: CodecOptions & {
    readonly topic: string;
    readonly exclude: readonly string[];
    readonly maxPayload: number;
    readonly maxSources: number;
  };
  readonly clock: Clock;
  /** The stream's dictionary so far: an index is never given to another source. */
  readonly sources: readonly Source[];
  /** Sequence number of the next reading. */
  readonly next: number;
  readonly maxPending?: number;
  onDead(letter: DeadLetter): void;
  /** Each reading, in order; `values` is valid during the call only. */
  onReading?(source: number, sequence: number, ts: number, arrived: number, values: Float64Array, flags: number): void;
};

const defaultMaxPending = 262_144;
/** Clocks are read one after the other: smaller differences of their offset are not told apart. */
const wallSlackMs = 20;
/** No gateway of this kind ran before: a clock that says so has not been set. */
const clockFloor = Date.UTC(2024, 0, 1);

/**
 * Takes a stream's messages: a payload becomes readings or a dead letter, once. Readings gather here, in order of
 * arrival, until the next commit takes them.
 */
export class Intake {
  readonly name: string;
  readonly fields: readonly string[];
  readonly keepsPayload: boolean;
  readonly pattern: TopicPattern;
  readonly counters = { messages: 0, readings: 0, skipped: 0, empty: 0, late: 0, dead: 0, refused: 0, repeats: 0 };
  readonly #options: IntakeOptions;
  readonly #decoder: Decoder;
  readonly #batch: ReadingBatch;
  readonly #columns: Columns;
  readonly #sources: Source[];
  readonly #indexOf: Map<string, number>;
  /** Newest sensor time by source. */
  readonly #newest: number[] = [];
  readonly #row: Float64Array;
  #next: number;
  #first: number;
  #wallOffset = Number.NEGATIVE_INFINITY;

  /** @throws TidegateError CODEC_INVALID */
  constructor(options: IntakeOptions) {
    this.#options = options;
    this.name = options.name;
    this.#decoder = createDecoder(options.stream);
    this.fields = this.#decoder.fields;
    this.keepsPayload = this.#decoder.keepsPayload;
    this.pattern = compilePattern(options.stream.topic);
    this.#batch = new ReadingBatch(this.fields.length);
    this.#row = new Float64Array(this.fields.length);
    this.#columns = new Columns(this.fields, this.keepsPayload);
    this.#sources = [...options.sources];
    this.#indexOf = new Map(this.#sources.map((source, index) => [renderSource(source), index]));
    this.#next = options.next;
    this.#first = options.next;
  }

  get sources(): readonly Source[] {
    return this.#sources;
  }

  /** Sequence number that the next reading gets. */
  get next(): number {
    return this.#next;
  }

  /** Readings that no commit has taken yet. */
  get pending(): number {
    return this.#columns.count;
  }

  /** The source that a topic stands for; null when this stream does not take it. */
  match(topic: string): Source | null {
    if (this.#options.stream.exclude.some((filter) => filterCovers(filter, topic))) return null;
    return this.pattern.match(topic);
  }

  /**
   * Takes one message of this stream.
   * @param isRepeat  "maybe": the broker may have delivered it before; "certain": it has, and it is in the journal
   */
  accept(topic: string, source: Source, payload: Uint8Array, isRepeat: "no" | "maybe" | "certain" = "no"): void {
    this.counters.messages++;
    if (isRepeat === "certain") {
      this.counters.repeats++;
      return;
    }
    const batch = this.#batch;
    try {
      if (this.pending >= (this.#options.maxPending ?? defaultMaxPending))
        throw new TidegateError("INTAKE_FULL", { stream: this.name, limit: this.pending });
      const { maxPayload } = this.#options.stream;
      if (payload.length > maxPayload)
        throw new TidegateError("PAYLOAD_TOO_LARGE", { actual: payload.length, unit: "bytes", limit: maxPayload });
      batch.clear();
      this.#decoder.decode(payload, batch);
      this.#take(this.#indexOfSource(source), payload, isRepeat === "maybe" ? readingFlags.maybeRepeated : 0);
    } catch (thrown) {
      this.#refuse(topic, payload, thrown);
    }
  }

  #take(source: number, payload: Uint8Array, marks: number): void {
    const { clock, onReading } = this.#options;
    const batch = this.#batch;
    const wall = clock.now();
    const arrived = Math.floor(clock.monotonic());
    const base = marks | (wall < clockFloor ? readingFlags.clockUntrusted : 0);
    const width = this.fields.length;
    const row = this.#row;
    for (let i = 0; i < batch.count; i++) {
      const sensorTime = batch.ts[i] as number;
      const hasTime = !Number.isNaN(sensorTime);
      const ts = hasTime ? sensorTime : wall;
      let flags = base | (hasTime ? readingFlags.sensorTime : 0);
      if (hasTime) {
        const newest = this.#newest[source] ?? Number.NEGATIVE_INFINITY;
        if (ts < newest) {
          flags |= readingFlags.late;
          this.counters.late++;
        } else this.#newest[source] = ts;
      }
      this.#columns.push(source, ts, arrived, flags, batch.values, i * width);
      // A copy, since the pipe must not read what the broker's next packet will overwrite.
      if (this.keepsPayload) this.#columns.keepPayload(payload.slice());
      const sequence = this.#next++;
      if (onReading) {
        for (let field = 0; field < width; field++) row[field] = batch.values[i * width + field] as number;
        onReading(source, sequence, ts, arrived, row, flags);
      }
    }
    this.counters.readings += batch.count;
    this.counters.skipped += batch.skipped;
    this.counters.empty += batch.empty;
  }

  /** The readings that wait, as a frame; the next ones start a new one. */
  takeFrame(): Frame | null {
    const { clock } = this.#options;
    const wallOffset = Math.round(clock.now() - clock.monotonic());
    if (Math.abs(wallOffset - this.#wallOffset) > wallSlackMs) this.#wallOffset = wallOffset;
    const frame = this.#columns.take({
      stream: this.name,
      first: this.#first,
      boot: clock.bootId,
      wallOffset: this.#wallOffset,
    });
    this.#first = this.#next;
    return frame;
  }

  #indexOfSource(source: Source): number {
    const key = renderSource(source);
    const known = this.#indexOf.get(key);
    if (known !== undefined) return known;
    const limit = this.#options.stream.maxSources;
    if (this.#sources.length >= limit) throw new TidegateError("SOURCES_TOO_MANY", { stream: this.name, limit });
    const index = this.#sources.push(source) - 1;
    this.#indexOf.set(key, index);
    return index;
  }

  #refuse(topic: string, payload: Uint8Array, thrown: unknown): void {
    const error = thrown instanceof TidegateError ? thrown : new TidegateError("BUG", { detail: reasonOf(thrown) });
    if (error.code === "INTAKE_FULL") {
      this.counters.refused++;
      return;
    }
    this.counters.dead++;
    this.#options.onDead({
      stream: this.name,
      topic,
      payload: payload.slice(0, deadPayloadBytes),
      size: payload.length,
      code: error.code,
      reason: error.message,
      receivedAt: this.#options.clock.now(),
    });
  }
}
