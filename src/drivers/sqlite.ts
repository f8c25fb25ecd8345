import { existsSync, statSync } from "node:fs";
import Sqlite from "better-sqlite3";
import { LogFile } from "./sqlite-log.ts";

export type SqlValue = number | string | Uint8Array | null;
export type Row = Record<string, SqlValue>;

/** A prepared statement, by position. */
export type Statement = {
  run(...values: SqlValue[]): { changes: number };
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
};

export type DatabaseOptions = {
  /** What a commit waits for: FULL is a sync of the log; OFF loses data and exists to show that the tests see it. */
  readonly synchronous?: "FULL" | "OFF";
  /** Deleted content is overwritten: for keys. */
  readonly secureDelete?: boolean;
  /** For a file that is written all the time: the log has this size from its start, and a commit writes over it. */
  readonly logBytes?: number;
};

/** Small pages: what a small commit writes is mostly pages that it touched. */
const pageSize = 1024;

/** A SQLite database in write-ahead mode, of one process alone. All calls block: use it in a thread that may wait. */
export class Database {
  readonly file: string;
  readonly #db: Sqlite.Database;
  readonly #isSynced: boolean;
  readonly #log: LogFile | undefined;

  /** @throws the driver's error, with `code` such as SQLITE_CORRUPT or SQLITE_CANTOPEN */
  constructor(file: string, { synchronous = "FULL", secureDelete = false, logBytes }: DatabaseOptions = {}) {
    this.file = file;
    this.#isSynced = synchronous === "FULL";
    this.#db = new Sqlite(file, { timeout: 5_000 });
    try {
      // Before anything is read: the log's index is then in memory, not in a mapped file that the system writes back.
      this.#db.pragma("locking_mode = EXCLUSIVE");
      // Both must stand before the first table is made.
      this.#db.pragma(`page_size = ${pageSize}`);
      this.#db.pragma("auto_vacuum = INCREMENTAL");
      this.#db.pragma("journal_mode = WAL");
      // NORMAL syncs at checkpoints and leaves the commits to `transaction`.
      this.#db.pragma(`synchronous = ${this.#isSynced && logBytes ? "NORMAL" : synchronous}`);
      this.#db.pragma(`secure_delete = ${secureDelete ? "ON" : "OFF"}`);
      this.#db.pragma("wal_autocheckpoint = 4000");
      this.#db.pragma("journal_size_limit = 4194304");
      this.#db.pragma("temp_store = MEMORY");
      // The log is there once something has been read.
      this.#db.pragma("schema_version");
      if (logBytes) this.#log = new LogFile(`${file}-wal`, logBytes);
    } catch (thrown) {
      this.#db.close();
      throw thrown;
    }
  }

  /** Applies the migrations that this file has not had yet; each is one transaction. */
  migrate(migrations: readonly string[]): void {
    const done = Number(this.#db.pragma("user_version", { simple: true }));
    if (done > migrations.length)
      throw new Error(`the file has schema ${done}, this version knows ${migrations.length}`);
    migrations.slice(done).forEach((sql, i) => {
      this.transaction(() => {
        this.#db.exec(sql);
        this.#db.pragma(`user_version = ${done + i + 1}`);
      });
    });
  }

  prepare(sql: string): Statement {
    return this.#db.prepare(sql) as unknown as Statement;
  }

  /** Prepares a table of statements. */
  prepareAll<K extends string>(table: Readonly<Record<K, string>>): Record<K, Statement> {
    const prepared = Object.entries<string>(table).map(([name, sql]) => [name, this.prepare(sql)]);
    return Object.fromEntries(prepared) as Record<K, Statement>;
  }

  /** Runs `work` in one transaction: all of it or nothing. @throws also SyncFailed: all of it or nothing, but which? */
  transaction<T>(work: () => T): T {
    const result = this.#db.transaction(work).immediate();
    if (!this.#db.inTransaction) this.sync();
    return result;
  }

  /** As `transaction`, but durable only with the next one, or `sync`: until then a power cut may undo it as a whole. */
  lazyTransaction<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }

  /** What was committed is durable when it returns. @throws SyncFailed */
  sync(): void {
    if (this.#isSynced) this.#log?.sync();
  }

  pragma(text: string): unknown {
    return this.#db.pragma(text, { simple: true });
  }

  /**
   * Moves the log into the file; false when a reader stands in the way. A log of at most `keepBytes` keeps its size and
   * is written over from its start: to let it grow anew costs the file system's journal more than the log itself.
   */
  checkpoint(keepBytes = 0): boolean {
    const mode = this.sizes.wal <= keepBytes ? "RESTART" : "TRUNCATE";
    const [row] = this.#db.pragma(`wal_checkpoint(${mode})`) as { busy: number }[];
    if (keepBytes > 0) this.#log?.reserve();
    return row?.busy === 0;
  }

  /** Bytes in use, those of free pages, and those of the log. */
  get sizes(): { used: number; free: number; wal: number } {
    const free = Number(this.pragma("freelist_count"));
    const used = Number(this.pragma("page_count")) - free;
    const wal = `${this.file}-wal`;
    return { used: used * pageSize, free: free * pageSize, wal: existsSync(wal) ? statSync(wal).size : 0 };
  }

  /** The file never grows past this. */
  limit(bytes: number): void {
    this.pragma(`max_page_count = ${Math.max(64, Math.floor(bytes / pageSize))}`);
  }

  /** Gives up to so many free pages back to the disk. */
  shrink(pages: number): void {
    // It frees one page a step: all its rows have to be asked for.
    this.#db.pragma(`incremental_vacuum(${pages})`);
  }

  close(): void {
    this.#db.close();
    this.#log?.close();
  }
}

/** Holds a lock on `file` until it is closed or the process is gone; null when another holds it. */
export function lockFile(file: string): { release(): void } | null {
  const db = new Sqlite(file, { timeout: 0 });
  try {
    db.pragma("locking_mode = EXCLUSIVE");
    // Nothing is ever written: a disk that is full must not stand in the way.
    db.pragma("journal_mode = OFF");
    db.exec("BEGIN EXCLUSIVE");
    return { release: () => db.close() };
  } catch (thrown) {
    db.close();
    if ((thrown as { code?: string }).code === "SQLITE_BUSY") return null;
    throw thrown;
  }
}
