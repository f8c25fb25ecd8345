import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { StorageKeys } from "../crypto/storage-keys.ts";
import { Database, lockFile } from "../drivers/sqlite.ts";
import { AgeClock } from "./age-clock.ts";
import type { BufferStats, Commit, Range, StreamSetup, StreamState, StreamStats } from "./commit.ts";
import { Dictionary, type KnownStream, stateOf } from "./dictionary.ts";
import { Ledger } from "./ledger.ts";
import { Pieces } from "./pieces.ts";
import { type Limits, type Removed, Retention } from "./retention.ts";
import { bufferMigrations } from "./schema.ts";
import { SealedRows } from "./sealed-rows.ts";
import { StateFile } from "./state-file.ts";

export type StoreOptions = {
  readonly dir: string;
  readonly storageRoot: Uint8Array;
  readonly streams: readonly StreamSetup[];
  readonly limits: Limits;
  readonly blockReadings: number;
  /** OFF loses data: it exists to show that the tests would see it. */
  readonly synchronous: "FULL" | "OFF";
};

/** What the store tells besides its answers. */
export type StoreEvent =
  | { readonly event: "set-aside"; readonly file: string; readonly reason: string }
  | { readonly event: "corrupt"; readonly stream: string; readonly readings: number; readonly reason: string }
  | { readonly event: "ready" }
  | { readonly event: "removed"; readonly removed: readonly Removed[] };

const epochName = "buffer/epoch";
const ageName = "buffer/age";
const wallName = "buffer/wall";

/** The journal's files, opened; every call blocks. It lives in the journal thread. */
export class Store {
  readonly #options: StoreOptions;
  readonly #tell: (event: StoreEvent) => void;
  readonly #lock: { release(): void };
  readonly #state: StateFile;
  readonly #db: Database;
  readonly #streams: Dictionary;
  readonly #pieces: Pieces;
  readonly #ledger: Ledger;
  readonly #retention: Retention;
  readonly #age: AgeClock;

  /** @throws TidegateError DATA_DIR_IN_USE, KEY_WRONG, STORAGE_UNREADABLE, STORAGE_FAILED */
  constructor(options: StoreOptions, tell: (event: StoreEvent) => void) {
    const { dir, storageRoot, streams, limits, blockReadings, synchronous } = options;
    this.#options = options;
    this.#tell = tell;
    try {
      mkdirSync(dir, { recursive: true, mode: 0o750 });
      const lock = lockFile(join(dir, "lock"));
      if (!lock) throw new TidegateError("DATA_DIR_IN_USE", { dir });
      this.#lock = lock;
    } catch (thrown) {
      throw thrown instanceof TidegateError ? thrown : failed(thrown);
    }
    this.#state = new StateFile(join(dir, "state.db"), synchronous);
    const keys = new StorageKeys(storageRoot, this.#state);
    this.#db = this.#openBuffer(join(dir, "buffer.db"));
    this.#db.limit(limits.maxBytes);
    const rows = new SealedRows(keys, this.#state.number(epochName) ?? 1);
    rows.begin(0);
    this.#streams = new Dictionary(this.#db, rows);
    this.#db.transaction(() => streams.map((stream) => this.#streams.open(stream)));
    this.#ledger = new Ledger(this.#db, rows, this.#streams);
    this.#pieces = new Pieces({ db: this.#db, rows, blockReadings, onCorrupt: (...facts) => this.#corrupt(...facts) });
    this.#retention = new Retention(this.#db, this.#streams, this.#ledger, streams, limits);
    const [age, wall] = [this.#state.number(ageName), this.#state.number(wallName)];
    this.#age = new AgeClock(age === null || wall === null ? null : { age, wall }, Date.now(), performance.now());
  }

  /** Opens buffer.db; one that will not open is set aside for a new one, so that the gateway goes on. */
  #openBuffer(file: string): Database {
    const { synchronous } = this.#options;
    try {
      const db = new Database(file, { synchronous });
      db.migrate(bufferMigrations);
      return db;
    } catch (thrown) {
      const code = String((thrown as { code?: string }).code ?? "");
      if (!/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw failed(thrown);
      this.#setAside(file, reasonOf(thrown));
      const db = new Database(file, { synchronous });
      db.migrate(bufferMigrations);
      return db;
    }
  }

  #setAside(file: string, reason: string): void {
    const aside = `${file}.aside`;
    rmSync(aside, { force: true });
    // Its log belongs to it alone: replayed into the new file it would destroy that, too.
    for (const end of ["-wal", "-shm"]) rmSync(file + end, { force: true });
    const isSmall = existsSync(file) && statSync(file).size < this.#options.limits.maxBytes / 2;
    if (isSmall) renameSync(file, aside);
    else rmSync(file, { force: true });
    // Numbers start anew in the new file: under another epoch, so that no key is used for two things.
    this.#state.putNumber(epochName, (this.#state.number(epochName) ?? 1) + 1);
    this.#tell({ event: "set-aside", file: isSmall ? aside : file, reason });
  }

  #corrupt(stream: KnownStream, readings: number, reason: string): void {
    this.#ledger.countDropped(stream.id, "corrupt", readings);
    this.#tell({ event: "corrupt", stream: stream.name, readings, reason });
  }

  stateOf(name: string): StreamState {
    return stateOf(this.#known(name));
  }

  /**
   * Writes a commit in one transaction. When the budget is reached, the oldest readings make room and it is tried once more.
   * @throws TidegateError STORAGE_FAILED: nothing of it is stored
   */
  commit(commit: Commit): void {
    try {
      this.#write(commit);
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "SQLITE_FULL") throw failed(thrown);
      try {
        this.#makeRoom();
        this.#write(commit);
      } catch (again) {
        throw failed(again);
      }
    }
  }

  #makeRoom(): void {
    this.#db.checkpoint();
    const room = Math.max(2 ** 18, this.#options.limits.maxBytes * 0.05);
    const removed = this.#db.transaction(() => this.#retention.makeRoom(room));
    if (removed.length > 0) this.#tell({ event: "removed", removed });
  }

  #write(commit: Commit): void {
    const marks = this.#ledger.marks;
    const next = new Map<KnownStream, number>();
    try {
      this.#db.transaction(() => {
        const age = this.#age.now(performance.now());
        for (const { stream, at, sources } of commit.sources)
          this.#streams.writeSources(this.#known(stream), at, sources);
        for (const frame of commit.frames) {
          const stream = this.#known(frame.stream);
          this.#pieces.append(stream, frame, age);
          next.set(stream, Math.max(next.get(stream) ?? stream.next, frame.first + frame.count));
        }
        for (const name of new Set([...commit.frames.map(({ stream }) => stream), ...Object.keys(commit.cursors)])) {
          const stream = this.#known(name);
          this.#streams.writeProgress(stream, next.get(stream) ?? stream.next, advanced(stream, commit.cursors[name]));
        }
        this.#ledger.addOutbox(commit.outbox, Date.now());
        this.#ledger.addDead(commit.dead);
        this.#ledger.putSnapshots(commit.snapshots);
        for (const { stream, reason, n } of commit.dropped)
          this.#ledger.countDropped(this.#streams.get(stream)?.id ?? 0, reason, n);
      });
    } catch (thrown) {
      this.#ledger.resetMarks(marks);
      throw thrown;
    }
    // The memory follows the disk, never the other way round.
    for (const [stream, end] of next) stream.next = end;
    for (const [name, cursors] of Object.entries(commit.cursors)) {
      const stream = this.#known(name);
      stream.cursors = advanced(stream, cursors);
    }
    for (const { stream, at, sources } of commit.sources) {
      const known = this.#known(stream);
      known.sources.length = at;
      known.sources.push(...sources);
    }
  }

  read(name: string, range: Range): Frame[] {
    return this.#pieces.read(this.#known(name), range);
  }

  outboxAfter(...args: Parameters<Ledger["outboxAfter"]>) {
    return this.#ledger.outboxAfter(...args);
  }

  receipt(...args: Parameters<Ledger["receipt"]>): number {
    return this.#ledger.receipt(...args);
  }

  dead(...args: Parameters<Ledger["dead"]>) {
    return this.#ledger.dead(...args);
  }

  removeDead(...args: Parameters<Ledger["removeDead"]>): number {
    return this.#ledger.removeDead(...args);
  }

  snapshot(...args: Parameters<Ledger["snapshot"]>) {
    try {
      return this.#ledger.snapshot(...args);
    } catch {
      // Without it windows are rebuilt from readings.
      return null;
    }
  }

  stateGet(name: string): Uint8Array | null {
    return this.#state.get(`value/${name}`);
  }

  statePut(name: string, value: Uint8Array): void {
    this.#state.put(`value/${name}`, value);
  }

  /** Merges tails of every stream where it is worth it. @returns readings merged */
  merge(): number {
    let merged = 0;
    for (const stream of this.#streams.all)
      while (this.#pieces.isRipe(stream)) {
        const readings = this.#pieces.merge(stream);
        if (readings === 0) break;
        merged += readings;
      }
    return merged;
  }

  /** One bounded pass of retention; true when another is due. */
  retain(): boolean {
    const age = this.#age.now(performance.now());
    this.#state.putNumber(ageName, age);
    this.#state.putNumber(wallName, Date.now());
    const removed = this.#retention.pass(age);
    if (removed.length === 0) return false;
    this.#db.shrink(1_024);
    this.#tell({ event: "removed", removed });
    return true;
  }

  checkpoint(): boolean {
    this.#state.checkpoint();
    return this.#db.checkpoint();
  }

  stats(): BufferStats {
    const { messages, oldest, dead, quarantined } = this.#ledger.counts();
    const { used, wal } = this.#db.sizes;
    return {
      streams: Object.fromEntries(this.#streams.all.map((stream) => [stream.name, this.#statsOf(stream)])),
      walBytes: wal,
      fileBytes: used,
      outbox: {
        messages,
        oldestAgeSeconds: oldest === null ? 0 : Math.max(0, Math.round((Date.now() - oldest) / 1000)),
      },
      deadLetters: dead,
      quarantined,
    };
  }

  #statsOf(stream: KnownStream): StreamStats {
    const row = this.#db
      .prepare(
        `SELECT coalesce(sum(count), 0) AS readings, coalesce(sum(is_block), 0) AS blocks, count(*) AS pieces,
         coalesce(sum(length(body_sealed)), 0) AS bytes, min(from_ts) AS oldest, max(to_ts) AS newest
         FROM piece WHERE stream = ?`,
      )
      .get(stream.id);
    const number = (name: string) => Number(row?.[name] ?? 0);
    const time = (name: string) => (row?.[name] === null ? null : number(name));
    return {
      readings: number("readings"),
      blocks: number("blocks"),
      tails: number("pieces") - number("blocks"),
      bytes: number("bytes"),
      oldest: time("oldest"),
      newest: time("newest"),
      dropped: this.#ledger.droppedOf(stream.id),
    };
  }

  /** Closes the files and gives the directory free. */
  close(): void {
    try {
      this.#db.close();
      this.#state.close();
    } finally {
      this.#lock.release();
    }
  }

  #known(name: string): KnownStream {
    const stream = this.#streams.get(name);
    if (!stream) throw new TidegateError("BUG", { detail: `the journal knows no stream ${name}` });
    return stream;
  }
}

/** Cursors only grow: work that was done stays done. */
const advanced = ({ cursors }: KnownStream, to: Partial<KnownStream["cursors"]> = {}) => ({
  inferred: Math.max(cursors.inferred, to.inferred ?? 0),
  aggregated: Math.max(cursors.aggregated, to.aggregated ?? 0),
  uplinked: Math.max(cursors.uplinked, to.uplinked ?? 0),
});

function failed(thrown: unknown): TidegateError {
  if (thrown instanceof TidegateError) return thrown;
  const code = (thrown as { code?: string }).code;
  const reason = code ? `${reasonOf(thrown)} (${code})` : reasonOf(thrown);
  return new TidegateError("STORAGE_FAILED", { reason }, { cause: thrown });
}
