import { TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import type { StorageKeys } from "../crypto/storage-keys.ts";
import { Database } from "../drivers/sqlite.ts";
import type { Commit, Cursors, StreamSetup } from "./commit.ts";
import { Dictionary, type KnownStream } from "./dictionary.ts";
import { Ledger } from "./ledger.ts";
import { Pieces } from "./pieces.ts";
import { type Limits, Retention } from "./retention.ts";
import { bufferMigrations } from "./schema.ts";
import { SealedRows } from "./sealed-rows.ts";

export type BufferFileOptions = {
  readonly file: string;
  readonly keys: StorageKeys;
  /** Files that were set aside had lower ones: no key is used for two files. */
  readonly epoch: number;
  readonly streams: readonly StreamSetup[];
  readonly limits: Limits;
  readonly blockReadings: number;
  readonly synchronous: "FULL" | "OFF";
  /** Something sealed did not open: it has been set apart or removed. */
  onCorrupt(stream: string | null, what: "piece" | "outbox" | "dead", readings: number, reason: string): void;
};

/** What goes on in a new file when the old one broke under a running journal. */
export type Heritage = {
  readonly streams: readonly KnownStream[];
  readonly marks: readonly number[];
  /** Readings that were in the old file, by stream. */
  readonly lost: ReadonlyMap<string, number>;
};

/** Changes of the log that may stand beside the file until they are moved into it. */
const maxLogBytes = 8 * 2 ** 20;
/** Room for ten minutes of commits every few seconds: what the log has from its start, unless the budget is small. */
const firstLogBytes = 512 * 1024;
/** The log takes this part of a small budget. */
export const logShare = 1 / 64;

/** buffer.db, opened: the parts that work on it. */
export class BufferFile {
  readonly db: Database;
  readonly streams: Dictionary;
  readonly pieces: Pieces;
  readonly ledger: Ledger;
  readonly retention: Retention;
  readonly rows: SealedRows;

  /** @throws the driver's errors, TidegateError PIECE_CORRUPT, KEY_DESTROYED */
  constructor(options: BufferFileOptions, heritage?: Heritage) {
    const { file, keys, epoch, streams: setups, limits, blockReadings, synchronous, onCorrupt } = options;
    const logBytes = Math.floor(Math.min(firstLogBytes, limits.maxBytes * logShare));
    const db = new Database(file, { synchronous, logBytes });
    this.db = db;
    try {
      db.migrate(bufferMigrations);
      db.limit(Math.max(limits.maxBytes * 0.75, limits.maxBytes - maxLogBytes));
      const rows = new SealedRows(keys, epoch);
      this.rows = rows;
      rows.begin(0);
      this.streams = new Dictionary(db, rows);
      this.ledger = new Ledger(db, rows, this.streams, (stream, what, reason) => onCorrupt(stream, what, 0, reason));
      this.pieces = new Pieces({
        db,
        rows,
        blockReadings,
        onCorrupt: (stream, count, reason) => {
          this.ledger.countDropped(stream.id, "corrupt", count);
          onCorrupt(stream.name, "piece", count, reason);
        },
      });
      const { streams, pieces, ledger } = this;
      this.retention = new Retention({ db, streams, pieces, ledger, setups, limits });
      this.#begin(epoch, setups, heritage);
    } catch (thrown) {
      db.close();
      throw thrown;
    }
  }

  #begin(epoch: number, setups: readonly StreamSetup[], heritage?: Heritage): void {
    const written = this.ledger.mark("epoch");
    if (written !== null && written !== epoch)
      throw new TidegateError("PIECE_CORRUPT", { reason: `the file is of epoch ${written}, not ${epoch}` });
    this.db.transaction(() => {
      if (written === null) this.ledger.setMark("epoch", epoch);
      for (const earlier of heritage?.streams ?? []) {
        const stream = this.streams.open(earlier, earlier);
        this.ledger.countDropped(stream.id, "corrupt", heritage?.lost.get(earlier.name) ?? 0);
      }
      for (const setup of setups) this.streams.open(setup);
    });
    if (heritage) this.ledger.resetMarks(heritage.marks);
  }

  /** What a file that follows this one goes on with; what cannot be read is left out. */
  get heritage(): Heritage {
    const lost = new Map<string, number>();
    try {
      for (const row of this.db.prepare("SELECT id, readings FROM stream").all()) {
        const stream = this.streams.byId(Number(row.id));
        if (stream) lost.set(stream.name, Number(row.readings));
      }
    } catch {
      // A file that is damaged may not even tell how much was in it.
    }
    return { streams: this.streams.all, marks: this.ledger.marks, lost };
  }

  /** @throws TidegateError BUG when there is no such stream */
  known(name: string): KnownStream {
    const stream = this.streams.get(name);
    if (!stream) throw new TidegateError("BUG", { detail: `the journal knows no stream ${name}` });
    return stream;
  }

  /** Writes a commit in one transaction: all of it or nothing. @param age  of the journal's own clock, ms */
  write(commit: Commit, age: number): void {
    // Tried again because the answer was lost with the thread, not the commit: it is stored as a whole, or not at all.
    if (commit.frames.length > 0 && commit.frames.every((frame) => this.#isStored(frame))) return;
    const marks = this.ledger.marks;
    const next = new Map<KnownStream, number>();
    try {
      this.db.transaction(() => this.#writeRows(commit, age, next));
    } catch (thrown) {
      this.ledger.resetMarks(marks);
      throw thrown;
    }
    // The memory follows the disk, never the other way round.
    for (const [stream, end] of next) stream.next = end;
    for (const [name, cursors] of Object.entries(commit.cursors)) {
      const stream = this.known(name);
      stream.cursors = advanced(stream, cursors);
    }
    for (const { stream, at, sources } of commit.sources) {
      this.streams.learnSources(this.known(stream), at, sources);
    }
  }

  #isStored({ stream, first }: Frame): boolean {
    const known = this.known(stream);
    return first < known.next && this.pieces.has(known, first);
  }

  #writeRows(commit: Commit, age: number, next: Map<KnownStream, number>): void {
    const { streams, pieces, ledger } = this;
    for (const { stream, at, sources } of commit.sources) streams.writeSources(this.known(stream), at, sources);
    for (const frame of commit.frames) {
      const stream = this.known(frame.stream);
      pieces.append(stream, frame, age);
      next.set(stream, Math.max(next.get(stream) ?? stream.next, frame.first + frame.count));
    }
    for (const name of new Set([...commit.frames.map(({ stream }) => stream), ...Object.keys(commit.cursors)])) {
      const stream = this.known(name);
      streams.writeProgress(stream, next.get(stream) ?? stream.next, advanced(stream, commit.cursors[name]));
    }
    ledger.addOutbox(commit.outbox, Date.now());
    ledger.addDead(commit.dead);
    ledger.putSnapshots(commit.snapshots);
    for (const { stream, reason, n } of commit.dropped) ledger.countDropped(streams.get(stream)?.id ?? 0, reason, n);
  }
}

/** Cursors only grow: work that was done stays done. */
const advanced = ({ cursors }: KnownStream, to: Partial<Cursors> = {}): Cursors => ({
  inferred: Math.max(cursors.inferred, to.inferred ?? 0),
  aggregated: Math.max(cursors.aggregated, to.aggregated ?? 0),
  uplinked: Math.max(cursors.uplinked, to.uplinked ?? 0),
});
