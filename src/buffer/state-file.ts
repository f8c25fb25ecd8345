import { reasonOf, TidegateError } from "../base/errors.ts";
import type { WrappedKeyStore } from "../crypto/storage-keys.ts";
import { Database, type Statement } from "../drivers/sqlite.ts";
import { stateMigrations } from "./schema.ts";

/** `state.db`: wrapped keys and small values that outlive buffer.db. Deleted content is overwritten. */
export class StateFile implements WrappedKeyStore {
  readonly #db: Database;
  readonly #get: Statement;
  readonly #put: Statement;
  readonly #delete: Statement;
  readonly #names: Statement;

  /** @throws TidegateError STORAGE_UNREADABLE: it is never set aside by itself, since keys would go with it */
  constructor(file: string, synchronous: "FULL" | "OFF") {
    try {
      this.#db = new Database(file, { synchronous, secureDelete: true });
      this.#db.migrate(stateMigrations);
      if (this.#db.pragma("quick_check") !== "ok") throw new Error("the file is damaged");
    } catch (thrown) {
      const code = String((thrown as { code?: unknown }).code ?? "SQLITE_CORRUPT");
      if (!/^SQLITE_(CORRUPT|NOTADB)/.test(code)) throw thrown;
      throw new TidegateError("STORAGE_UNREADABLE", { file, reason: reasonOf(thrown) }, { cause: thrown });
    }
    this.#get = this.#db.prepare("SELECT value FROM value WHERE name = ?");
    this.#put = this.#db.prepare("INSERT OR REPLACE INTO value VALUES (?, ?)");
    this.#delete = this.#db.prepare("DELETE FROM value WHERE name = ?");
    this.#names = this.#db.prepare("SELECT name FROM value WHERE name >= ? AND name < ? ORDER BY name");
  }

  get(name: string): Uint8Array | null {
    const value = this.#get.get(name)?.value;
    return value instanceof Uint8Array ? new Uint8Array(value) : null;
  }

  put(name: string, value: Uint8Array): void {
    this.#put.run(name, value);
  }

  delete(name: string): void {
    this.#delete.run(name);
  }

  names(prefix: string): string[] {
    return this.#names.all(prefix, `${prefix}\u{10FFFF}`).map(({ name }) => String(name));
  }

  number(name: string): number | null {
    const value = this.get(name);
    return value ? Number(Buffer.from(value).toString("utf8")) : null;
  }

  putNumber(name: string, value: number): void {
    this.put(name, Buffer.from(String(value)));
  }

  prepareAll<K extends string>(table: Readonly<Record<K, string>>): Record<K, Statement> {
    return this.#db.prepareAll(table);
  }

  /** All of it or nothing. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  /** The log is moved into the file, so that a deleted key leaves no copy behind. */
  checkpoint(): boolean {
    return this.#db.checkpoint();
  }

  close(): void {
    this.#db.close();
  }
}
