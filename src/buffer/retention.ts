import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { Database, Statement } from "../drivers/sqlite.ts";
import type { StreamSetup } from "./commit.ts";
import type { Dictionary, KnownStream } from "./dictionary.ts";
import type { Ledger } from "./ledger.ts";

export type Limits = {
  readonly maxBytes: number;
  readonly minFree: { readonly percent: number } | { readonly bytes: number };
};

export type Removed = {
  readonly stream: string;
  readonly reason: "age" | "bytes" | "budget" | "outbox";
  readonly n: number;
};

/** Pieces that one transaction removes: commits wait for no longer. */
const maxPieces = 256;
/** The outbox may take this part of the whole budget. */
const outboxShare = 0.25;

/**
 * Keeps the journal within its budgets, oldest first: each stream's own age and size, then the whole (the log counts),
 * where the stream of lowest priority gives first. Every reading that goes is counted with its reason.
 */
export class Retention {
  readonly #db: Database;
  readonly #streams: Dictionary;
  readonly #ledger: Ledger;
  readonly #setups: readonly StreamSetup[];
  readonly #limits: Limits;
  readonly #oldest: Statement;
  readonly #remove: Statement;
  readonly #bytesOf: Statement;
  readonly #outboxBytes: Statement;
  readonly #trimOutbox: Statement;

  constructor(db: Database, streams: Dictionary, ledger: Ledger, setups: readonly StreamSetup[], limits: Limits) {
    this.#db = db;
    this.#streams = streams;
    this.#ledger = ledger;
    this.#setups = setups;
    this.#limits = limits;
    this.#oldest = db.prepare(
      "SELECT first, count, age, length(body_sealed) AS bytes FROM piece WHERE stream = ? ORDER BY first LIMIT ?",
    );
    this.#remove = db.prepare("DELETE FROM piece WHERE stream = ? AND first = ?");
    this.#bytesOf = db.prepare("SELECT coalesce(sum(length(body_sealed)), 0) AS bytes FROM piece WHERE stream = ?");
    this.#outboxBytes = db.prepare("SELECT coalesce(sum(length(body_sealed)), 0) AS bytes FROM outbox");
    this.#trimOutbox = db.prepare(
      "DELETE FROM outbox WHERE lane = 1 AND n IN (SELECT n FROM outbox WHERE lane = 1 ORDER BY n LIMIT ?)",
    );
  }

  /** One bounded pass. @param age  of the journal, ms. @returns what was removed; empty when all is within its budget */
  pass(age: number): Removed[] {
    return this.#db.transaction(() => {
      const removed: Removed[] = [];
      for (const { name, keep } of this.#setups) {
        const stream = this.#streams.get(name);
        if (!stream) continue;
        removed.push(...this.#trim(stream, "age", (row) => age - Number(row.age) > keep.maxAge));
        let bytes = Number(this.#bytesOf.get(stream.id)?.bytes ?? 0);
        const isOver = (row: Record<string, unknown>) => {
          if (bytes <= keep.maxBytes) return false;
          bytes -= Number(row.bytes);
          return true;
        };
        removed.push(...this.#trim(stream, "bytes", isOver));
      }
      removed.push(...this.#trimOutboxTo(this.#limits.maxBytes * outboxShare));
      const excess = this.#excess();
      if (excess > 0) removed.push(...this.makeRoom(excess));
      return removed;
    });
  }

  /** Bytes over the budget of the whole, or under the space that has to stay free on the disk. */
  #excess(): number {
    const { used, wal } = this.#db.sizes;
    const over = used + wal - this.#limits.maxBytes;
    return Math.max(over, this.#lackOfSpace());
  }

  #lackOfSpace(): number {
    const { minFree } = this.#limits;
    try {
      const { bavail, blocks, bsize } = statfsSync(dirname(this.#db.file));
      const wanted = "bytes" in minFree ? minFree.bytes : (blocks * bsize * minFree.percent) / 100;
      // Only what this file holds can be given: another's gigabytes are not made up for by emptying the journal.
      return Math.min(wanted - bavail * bsize, this.#db.sizes.used * 0.05);
    } catch {
      return 0;
    }
  }

  /** Removes about `bytes` of the oldest readings, those of the lowest priority first. Call it within a transaction. */
  makeRoom(bytes: number): Removed[] {
    let left = bytes;
    const removed: Removed[] = [];
    const byPriority = [...this.#setups].sort((a, b) => a.keep.priority - b.keep.priority);
    // Streams that are configured no more have nobody to speak for them.
    const orphans = this.#streams.all.filter(({ name }) => !this.#setups.some((setup) => setup.name === name));
    for (const stream of [...orphans, ...byPriority.flatMap(({ name }) => this.#streams.get(name) ?? [])]) {
      const gives = (row: Record<string, unknown>) => {
        if (left <= 0) return false;
        left -= Number(row.bytes);
        return true;
      };
      removed.push(...this.#trim(stream, "budget", gives));
    }
    return removed;
  }

  #trim(
    stream: KnownStream,
    reason: "age" | "bytes" | "budget",
    goes: (row: Record<string, unknown>) => boolean,
  ): Removed[] {
    let n = 0;
    for (const row of this.#oldest.all(stream.id, maxPieces)) {
      if (!goes(row)) break;
      this.#remove.run(stream.id, Number(row.first));
      n += Number(row.count);
    }
    if (n === 0) return [];
    this.#ledger.countDropped(stream.id, reason, n);
    return [{ stream: stream.name, reason, n }];
  }

  #trimOutboxTo(maxBytes: number): Removed[] {
    const bytes = Number(this.#outboxBytes.get()?.bytes ?? 0);
    if (bytes <= maxBytes) return [];
    const n = this.#trimOutbox.run(1_024).changes;
    this.#ledger.countDropped(0, "outbox", n);
    return n > 0 ? [{ stream: "", reason: "outbox", n }] : [];
  }
}
