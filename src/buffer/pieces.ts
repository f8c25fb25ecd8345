import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Frame, isErasedSource } from "../base/frame.ts";
import type { Database, Row, Statement } from "../drivers/sqlite.ts";
import { decodeFrames, encodeFrames } from "./block-codec.ts";
import { corrupt } from "./byte-stream.ts";
import type { Range } from "./commit.ts";
import type { KnownStream } from "./dictionary.ts";
import { sliceFrame, spanOf, withFields } from "./frame-slice.ts";
import {
  epochOfPiece,
  erasedOfPiece,
  layoutOfPiece,
  layoutWithEpoch,
  pieceId,
  pieceStates,
  sequenceOf,
  stateOfPiece,
} from "./schema.ts";
import type { SealedRows } from "./sealed-rows.ts";
import { blank, hiddenBy, isWhole, type Tombstone, visibleParts } from "./tombstone.ts";

const { tail, block, apart } = pieceStates;
const tailLevel = 1;
const blockLevel = 12;
/** A tail with as many readings as a block is stored as one, packed less tightly: it came fast. */
const quickBlockLevel = 3;
/** Payloads make big tails: from so many bytes on they are not merged further. */
const maxBlockBytes = 2 ** 20;
/** A slice ends after so many sealed bytes, however few readings they are. */
const maxSliceBytes = 2 ** 23;

export type PiecesOptions = {
  readonly db: Database;
  readonly rows: SealedRows;
  readonly blockReadings: number;
  /** A piece did not open: it has been set apart. */
  onCorrupt(stream: KnownStream, count: number, reason: string): void;
};

/**
 * Readings on disk: tail frames as they were committed, and blocks that tails were merged into. A stream's running
 * totals are changed in the same transaction as its pieces.
 */
export class Pieces {
  readonly #options: PiecesOptions;
  readonly #sql: Readonly<Record<keyof typeof statements, Statement>>;

  constructor(options: PiecesOptions) {
    this.#options = options;
    this.#sql = options.db.prepareAll(statements);
  }

  /** Appends a frame. Call it within a transaction. @param age  of the journal's own clock, ms */
  append(stream: KnownStream, frame: Frame, age: number): void {
    const isBlock = frame.count >= this.#options.blockReadings;
    const level = isBlock ? quickBlockLevel : tailLevel;
    // Readings that were on their way when their source was erased.
    const { frames, erased } = stream.sources.some(isErasedSource)
      ? blank([frame], ({ source }, i) => isErasedSource(stream.sources[source[i] as number] ?? {}))
      : { frames: [frame], erased: 0 };
    this.#write(stream, frames, isBlock, stream.layout, age, level, erased);
  }

  #write(
    stream: KnownStream,
    frames: readonly Frame[],
    isBlock: boolean,
    layout: number,
    age: number,
    level: number,
    erased: number,
  ): void {
    const first = frames[0]?.first ?? 0;
    const count = frames.reduce((sum, frame) => sum + frame.count, 0);
    const { from, to } = spanOf(frames);
    const { rows } = this.#options;
    const body = rows.seal(stream.id, isBlock ? "block" : "tail", first, encodeFrames(frames, level));
    const state = (isBlock ? block : tail) + 4 * erased;
    const sealedLayout = layoutWithEpoch(layout, rows.epochOf(stream.id));
    this.#sql.insert.run(pieceId(stream.id, first), count, state, sealedLayout, from, to, age, body);
    this.#count(stream, isBlock ? block : tail, 1, count - erased, body.length);
  }

  /** Adds to a stream's totals; `sign` -1 takes away. */
  #count(stream: KnownStream, state: number, sign: number, readings: number, bytes: number): void {
    const [n, size, one] = [sign * readings, sign * bytes, sign];
    if (state === tail) this.#sql.countTail.run(n, size, one, n, size, stream.id);
    else if (state === block) this.#sql.countBlock.run(n, size, one, stream.id);
    else this.#sql.countApart.run(size, one, stream.id);
  }

  /** Removes a piece. Call it within a transaction. @returns readings that went; none of a piece that was set apart */
  remove(stream: KnownStream, row: Row): number {
    this.#sql.remove.run(Number(row.id));
    const state = stateOfPiece(row.state);
    const readings = Number(row.count) - erasedOfPiece(row.state);
    this.#count(stream, state, -1, readings, Number(row.bytes));
    return state === apart ? 0 : readings;
  }

  /** A stream's oldest pieces, those set apart too: `{id, count, state, age, bytes}`. */
  oldest(stream: KnownStream, limit: number): Row[] {
    return this.#sql.oldest.all(pieceId(stream.id, 0), pieceId(stream.id + 1, 0), limit);
  }

  /** Whether a reading is in a piece. */
  has(stream: KnownStream, sequence: number): boolean {
    const row = this.#sql.start.get(pieceId(stream.id, 0), pieceId(stream.id, sequence));
    return row !== undefined && sequenceOf(Number(row.id)) + Number(row.count) > sequence;
  }

  /** A bounded slice of a stream's readings, in order; damaged pieces are set apart and skipped. */
  read(stream: KnownStream, range: Range): Frame[] {
    const { from = 0, to = Number.MAX_SAFE_INTEGER, fromTs = -8.64e15, toTs = 8.64e15 + 1, limit } = range;
    const frames: Frame[] = [];
    let readings = 0;
    let bytes = 0;
    const end = pieceId(stream.id, Math.min(to, Number.MAX_SAFE_INTEGER));
    // The piece that `from` lies in may begin before it.
    let at = Number(
      this.#sql.start.get(pieceId(stream.id, 0), pieceId(stream.id, from))?.id ?? pieceId(stream.id, from),
    );
    while (readings < limit && bytes < maxSliceBytes) {
      const rows = this.#sql.select.all(at, end, fromTs, toTs);
      if (rows.length === 0) break;
      for (const row of rows) {
        if (readings >= limit || bytes >= maxSliceBytes) break;
        at = Number(row.id) + 1;
        const isHidden = hiddenBy(stream.tombstone, epochOfPiece(row.layout));
        if (isHidden && stream.tombstone && isWhole(stream.tombstone)) continue;
        for (const frame of this.#open(stream, row, stream.fields)) {
          const kept = sliceFrame(frame, from, to);
          if (!kept) continue;
          for (const part of visibleParts(kept, erasedOfPiece(row.state) > 0, isHidden)) {
            frames.push(part);
            readings += part.count;
          }
          bytes += Number(row.bytes);
        }
      }
    }
    return frames;
  }

  #open(stream: KnownStream, row: Row, fields: readonly string[] | null): Frame[] {
    const first = sequenceOf(Number(row.id));
    try {
      const sealed = this.#sql.body.get(Number(row.id))?.body_sealed;
      const kind = stateOfPiece(row.state) === block ? "block" : "tail";
      const packed = this.#options.rows.open(stream.id, kind, first, sealed, epochOfPiece(row.layout));
      const layout = stream.layouts[layoutOfPiece(row.layout)] ?? [];
      const frames = decodeFrames(packed, stream.name, layout);
      // What stands beside the body is not sealed: it would hide readings, or pass some off as others.
      const count = frames.reduce((sum, frame) => sum + frame.count, 0);
      const { from, to } = spanOf(frames);
      const isAsSealed = frames[0]?.first === first && count === Number(row.count);
      if (!isAsSealed || from !== Number(row.from_ts) || to !== Number(row.to_ts)) throw corrupt("its row was changed");
      return fields === null || layout === fields ? frames : frames.map((frame) => withFields(frame, fields));
    } catch (thrown) {
      if (thrown instanceof TidegateError && thrown.code !== "PIECE_CORRUPT") throw thrown;
      this.#setApart(stream, row, reasonOf(thrown));
      return [];
    }
  }

  #setApart(stream: KnownStream, row: Row, reason: string): void {
    const [count, bytes] = [Number(row.count) - erasedOfPiece(row.state), Number(row.bytes)];
    try {
      this.#options.db.transaction(() => {
        this.#sql.setApart.run(Number(row.id));
        this.#count(stream, stateOfPiece(row.state), -1, count, bytes);
        this.#count(stream, apart, 1, count, bytes);
        this.#options.onCorrupt(stream, count, reason);
      });
    } catch {
      // A disk that takes nothing: the piece is skipped all the same, and set apart another time.
    }
  }

  /**
   * Erases what a stream's tombstone hides, from the piece `at` on, until `deadline` (monotonic ms): what is left of a
   * piece is sealed under the new epoch. Call it within a transaction.
   * @returns where to go on (null: it is done), and how many readings were erased
   */
  erase(stream: KnownStream, at: number, deadline: number): { next: number | null; readings: number } {
    const { tombstone } = stream;
    let readings = 0;
    if (!tombstone) return { next: null, readings };
    const end = pieceId(stream.id + 1, 0);
    for (let next = Math.max(at, pieceId(stream.id, 0)); ; ) {
      const rows = this.#sql.oldest.all(next, end, 64);
      if (rows.length === 0) return { next: null, readings };
      for (const row of rows) {
        if (epochOfPiece(row.layout) < tombstone.below) readings += this.#erasePiece(stream, tombstone, row);
        next = Number(row.id) + 1;
        if (performance.now() >= deadline) return { next, readings };
      }
    }
  }

  /** @returns readings that were erased */
  #erasePiece(stream: KnownStream, tombstone: Tombstone, row: Row): number {
    const { before, sources } = tombstone;
    const state = stateOfPiece(row.state);
    const isAll = isWhole(tombstone) || (sources === null && before !== null && Number(row.to_ts) < before);
    // What was set apart cannot be looked into, and its key goes.
    if (isAll || state === apart) return this.remove(stream, row);
    if (before !== null && Number(row.from_ts) >= before) return this.#sealAnew(stream, row);
    const isHidden = hiddenBy(tombstone, epochOfPiece(row.layout));
    const opened = this.#open(stream, row, null);
    if (opened.length === 0 || !isHidden) return this.remove(stream, { ...row, state: apart });
    const { frames, now, erased } = blank(opened, isHidden);
    if (now === 0) return this.#sealAnew(stream, row);
    const kept = this.remove(stream, row) - now;
    if (kept === 0) return now;
    const isBlock = state === block;
    const level = isBlock ? quickBlockLevel : tailLevel;
    this.#write(stream, frames, isBlock, layoutOfPiece(row.layout), Number(row.age), level, erased);
    return now;
  }

  /** Nothing of it is erased: it goes under the new epoch as it is. */
  #sealAnew(stream: KnownStream, row: Row): number {
    const { rows } = this.#options;
    const kind = stateOfPiece(row.state) === block ? "block" : "tail";
    const first = sequenceOf(Number(row.id));
    const sealed = this.#sql.body.get(Number(row.id))?.body_sealed;
    let packed: Uint8Array;
    try {
      packed = rows.open(stream.id, kind, first, sealed, epochOfPiece(row.layout));
    } catch {
      return this.remove(stream, row);
    }
    const layout = layoutWithEpoch(layoutOfPiece(row.layout), rows.epochOf(stream.id));
    this.#sql.sealAnew.run(layout, rows.seal(stream.id, kind, first, packed), Number(row.id));
    return 0;
  }

  /** Whether merging is worth it. */
  isRipe(stream: KnownStream): boolean {
    const { tail_readings: readings, tail_bytes: bytes, tails } = this.#sql.totals.get(stream.id) ?? {};
    if (Number(tails) < 2 || stream.tombstone) return false;
    return Number(readings) >= this.#options.blockReadings || Number(bytes) >= maxBlockBytes;
  }

  /**
   * Merges a stream's oldest tails into one block, in one transaction: never is a reading in both or in neither.
   * @returns readings merged; 0 when there is nothing to do
   */
  merge(stream: KnownStream): number {
    const { db, blockReadings } = this.#options;
    return db.transaction(() => {
      const merged = Number(this.#sql.totals.get(stream.id)?.merged ?? 0);
      const tails = this.#sql.tails.all(pieceId(stream.id, merged), pieceId(stream.id + 1, 0), blockReadings);
      const frames: Frame[] = [];
      let [readings, bytes, age, next, erased] = [0, 0, 0, 0, 0];
      const layout = tails[0]?.layout;
      for (const row of tails) {
        const first = sequenceOf(Number(row.id));
        const isNext = frames.length === 0 || first === next;
        const isFull = readings >= blockReadings || bytes >= maxBlockBytes;
        if (isFull || row.layout !== layout || !isNext) break;
        const opened = this.#open(stream, row, null);
        // Payloads of only some readings could not be told apart in a block.
        const isOther =
          frames.length > 0 && (frames[0]?.payloads === undefined) !== (opened[0]?.payloads === undefined);
        if (opened.length > 0 && isOther) break;
        next = first + Number(row.count);
        if (opened.length === 0) break;
        frames.push(...opened);
        readings += Number(row.count);
        bytes += Number(row.bytes);
        age = Number(row.age);
        erased += erasedOfPiece(row.state);
        this.remove(stream, row);
      }
      if (frames.length > 0) this.#write(stream, frames, true, layoutOfPiece(layout), age, blockLevel, erased);
      if (next > merged) this.#sql.setMerged.run(next, stream.id);
      return readings;
    });
  }
}

const columns = "id, count, state, layout, from_ts, to_ts, age, length(body_sealed) AS bytes";
const statements = {
  insert: "INSERT INTO piece VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  remove: "DELETE FROM piece WHERE id = ?",
  setApart: `UPDATE piece SET state = (state & ~3) | ${apart} WHERE id = ?`,
  sealAnew: "UPDATE piece SET layout = ?, body_sealed = ? WHERE id = ?",
  start: `SELECT id, count FROM piece WHERE id >= ? AND id <= ? AND (state & 3) <> ${apart} ORDER BY id DESC LIMIT 1`,
  select: `SELECT ${columns} FROM piece
    WHERE id >= ? AND id < ? AND to_ts >= ? AND from_ts < ? AND (state & 3) <> ${apart} ORDER BY id LIMIT 64`,
  body: "SELECT body_sealed FROM piece WHERE id = ?",
  tails: `SELECT ${columns} FROM piece WHERE id >= ? AND id < ? AND (state & 3) = ${tail} ORDER BY id LIMIT ?`,
  oldest: `SELECT ${columns} FROM piece WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`,
  totals: "SELECT merged, tails, tail_readings, tail_bytes FROM stream WHERE id = ?",
  setMerged: "UPDATE stream SET merged = ? WHERE id = ?",
  countTail: `UPDATE stream SET readings = readings + ?, bytes = bytes + ?, tails = tails + ?,
    tail_readings = tail_readings + ?, tail_bytes = tail_bytes + ? WHERE id = ?`,
  countBlock: "UPDATE stream SET readings = readings + ?, bytes = bytes + ?, blocks = blocks + ? WHERE id = ?",
  countApart: "UPDATE stream SET bytes = bytes + ?, apart = apart + ? WHERE id = ?",
} as const;
