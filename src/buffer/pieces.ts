import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import type { Database, Row, Statement } from "../drivers/sqlite.ts";
import { decodeFrames, encodeFrames } from "./block-codec.ts";
import type { Range } from "./commit.ts";
import type { KnownStream } from "./dictionary.ts";
import type { SealedRows } from "./sealed-rows.ts";

const tailLevel = 1;
const blockLevel = 19;
/** A tail with as many readings as a block is stored as one, packed less tightly: it came fast. */
const quickBlockLevel = 3;
/** Tails that are merged although they do not fill a block: each costs a row. */
const maxTails = 256;

export type PiecesOptions = {
  readonly db: Database;
  readonly rows: SealedRows;
  readonly blockReadings: number;
  /** A piece did not open: it has been set apart. */
  onCorrupt(stream: KnownStream, count: number, reason: string): void;
};

/** Readings on disk: tail frames as they were committed, and blocks that tails were merged into. */
export class Pieces {
  readonly #options: PiecesOptions;
  readonly #insert: Statement;
  readonly #select: Statement;
  readonly #start: Statement;
  readonly #tails: Statement;
  readonly #tailCounts: Statement;
  readonly #remove: Statement;
  readonly #setApart: Statement;

  constructor(options: PiecesOptions) {
    const { db } = options;
    this.#options = options;
    this.#insert = db.prepare("INSERT INTO piece VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#start = db.prepare("SELECT max(first) AS first FROM piece WHERE stream = ? AND first <= ?");
    this.#select = db.prepare(
      "SELECT * FROM piece WHERE stream = ? AND first >= ? AND first < ? AND to_ts >= ? AND from_ts < ? ORDER BY first LIMIT 64",
    );
    this.#tails = db.prepare("SELECT * FROM piece WHERE stream = ? AND is_block = 0 ORDER BY first LIMIT 4096");
    this.#tailCounts = db.prepare(
      "SELECT count(*) AS tails, sum(count) AS readings FROM piece WHERE stream = ? AND is_block = 0",
    );
    this.#remove = db.prepare("DELETE FROM piece WHERE stream = ? AND first = ?");
    this.#setApart = db.prepare("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)");
  }

  /** Appends a frame. Call it within a transaction. @param age  of the journal's own clock, ms */
  append(stream: KnownStream, frame: Frame, age: number): void {
    const isBlock = frame.count >= this.#options.blockReadings;
    this.#write(stream, [frame], isBlock, stream.layout, age, isBlock ? quickBlockLevel : tailLevel);
  }

  #write(
    stream: KnownStream,
    frames: readonly Frame[],
    isBlock: boolean,
    layout: number,
    age: number,
    level: number,
  ): void {
    const first = frames[0]?.first ?? 0;
    let fromTs = Number.POSITIVE_INFINITY;
    let toTs = Number.NEGATIVE_INFINITY;
    let count = 0;
    for (const frame of frames) {
      count += frame.count;
      for (const ts of frame.ts) {
        if (ts < fromTs) fromTs = ts;
        if (ts > toTs) toTs = ts;
      }
    }
    const body = this.#options.rows.seal(stream.id, isBlock ? "block" : "tail", first, encodeFrames(frames, level));
    this.#insert.run(stream.id, first, count, isBlock ? 1 : 0, layout, fromTs, toTs, age, body);
  }

  /** A bounded slice of a stream's readings, in order; damaged pieces are set apart and skipped. */
  read(stream: KnownStream, range: Range): Frame[] {
    const { from = 0, to = Number.MAX_SAFE_INTEGER, fromTs = -8.64e15, toTs = 8.64e15 + 1, limit } = range;
    const frames: Frame[] = [];
    let readings = 0;
    let at = Number(this.#start.get(stream.id, from)?.first ?? from);
    while (readings < limit) {
      const rows = this.#select.all(stream.id, at, to, fromTs, toTs);
      for (const row of rows) {
        at = Number(row.first) + 1;
        for (const frame of this.#open(stream, row)) {
          const kept = trim(frame, from, to);
          if (!kept) continue;
          frames.push(kept);
          readings += kept.count;
        }
        if (readings >= limit) break;
      }
      if (rows.length === 0) break;
    }
    return frames;
  }

  #open(stream: KnownStream, row: Row): Frame[] {
    const first = Number(row.first);
    try {
      const packed = this.#options.rows.open(stream.id, row.is_block === 1 ? "block" : "tail", first, row.body_sealed);
      const layout = stream.layouts[Number(row.layout)] ?? [];
      const frames = decodeFrames(packed, stream.name, layout);
      return layout === stream.fields ? frames : frames.map((frame) => rearrange(frame, stream.fields));
    } catch (thrown) {
      if (thrown instanceof TidegateError && thrown.code !== "PIECE_CORRUPT") throw thrown;
      this.#quarantine(stream, row, reasonOf(thrown));
      return [];
    }
  }

  #quarantine(stream: KnownStream, row: Row, reason: string): void {
    const first = Number(row.first);
    const count = Number(row.count);
    this.#setApart.run(stream.id, first, count, row.body_sealed as Uint8Array);
    this.#remove.run(stream.id, first);
    this.#options.onCorrupt(stream, count, reason);
  }

  /** Whether merging is worth it. */
  isRipe(stream: KnownStream): boolean {
    const row = this.#tailCounts.get(stream.id);
    return Number(row?.readings ?? 0) >= this.#options.blockReadings || Number(row?.tails ?? 0) >= maxTails;
  }

  /**
   * Merges a stream's oldest tails into one block, in one transaction: never is a reading in both or in neither.
   * @returns readings merged; 0 when there is nothing to do
   */
  merge(stream: KnownStream): number {
    return this.#options.db.transaction(() => {
      const tails = this.#tails.all(stream.id);
      const frames: Frame[] = [];
      let readings = 0;
      let age = 0;
      const layout = Number(tails[0]?.layout ?? 0);
      for (const row of tails) {
        const isNext = frames.length === 0 || Number(row.first) === (frames[0]?.first ?? 0) + readings;
        if (readings >= this.#options.blockReadings || Number(row.layout) !== layout || !isNext) break;
        // Merging keeps the layout of what it merges.
        const opened = this.#open({ ...stream, fields: stream.layouts[layout] ?? [] }, row);
        if (opened.length === 0) break;
        frames.push(...opened);
        readings += Number(row.count);
        age = Number(row.age);
        this.#remove.run(stream.id, Number(row.first));
      }
      if (frames.length > 0) this.#write(stream, frames, true, layout, age, blockLevel);
      return readings;
    });
  }
}

/** The part of a frame between two sequence numbers. */
function trim(frame: Frame, from: number, to: number): Frame | null {
  const start = Math.max(0, from - frame.first);
  const end = Math.min(frame.count, to - frame.first);
  if (start >= end) return null;
  if (start === 0 && end === frame.count) return frame;
  return {
    ...frame,
    first: frame.first + start,
    count: end - start,
    source: frame.source.slice(start, end),
    ts: frame.ts.slice(start, end),
    arrived: frame.arrived.slice(start, end),
    flags: frame.flags.slice(start, end),
    values: frame.values.map((column) => column.slice(start, end)),
    ...(frame.payloads ? { payloads: frame.payloads.slice(start, end) } : {}),
  };
}

/** A frame with the fields that the stream has today. */
function rearrange(frame: Frame, fields: readonly string[]): Frame {
  const values = fields.map((name) => {
    const column = frame.values[frame.fields.indexOf(name)];
    return column ?? new Float64Array(frame.count).fill(Number.NaN);
  });
  return { ...frame, fields, values };
}
