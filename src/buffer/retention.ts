import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { Database, Row, Statement } from "../drivers/sqlite.ts";
import type { StreamSetup } from "./commit.ts";
import type { Dictionary, KnownStream } from "./dictionary.ts";
import type { Ledger } from "./ledger.ts";
import type { Pieces } from "./pieces.ts";

export type Limits = {
  readonly maxBytes: number;
  readonly minFree: { readonly percent: number } | { readonly bytes: number };
};

export type Removed = {
  readonly stream: string;
  readonly reason: "age" | "bytes" | "budget" | "outbox";
  readonly n: number;
};

/** Pieces that one transaction removes of a stream: commits wait for no longer. */
const maxPieces = 256;
const maxOutboxItems = 1_024;
/** The outbox may take this part of the whole budget. */
const outboxShare = 0.25;
/** What must be free for the log to be written at all. */
const logRoom = 4 * 2 ** 20;

export type RetentionOptions = {
  readonly db: Database;
  readonly streams: Dictionary;
  readonly pieces: Pieces;
  readonly ledger: Ledger;
  readonly setups: readonly StreamSetup[];
  readonly limits: Limits;
};

/**
 * Keeps the journal within its budgets, oldest first: each stream's own age and size, then the whole (the log counts),
 * where the stream of lowest priority gives first. Every reading that goes is counted with its reason.
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #bytesOf: Statement;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#bytesOf = options.db.prepare("SELECT bytes FROM stream WHERE id = ?");
  }

  /**
   * One bounded pass.
   * @param age  of the journal, ms
   * @param asideBytes  what the file takes that was set aside: it counts
   * @returns what was removed; empty when all is within its budget
   */
  pass(age: number, asideBytes: number): Removed[] {
    const { db, setups, streams, limits } = this.#options;
    return db.transaction(() => {
      const removed: Removed[] = [];
      for (const { name, keep } of setups) {
        const stream = streams.get(name);
        if (!stream) continue;
        removed.push(...this.#trim(stream, "age", (row) => age - Number(row.age) > keep.maxAge));
        const bytes = Number(this.#bytesOf.get(stream.id)?.bytes ?? 0);
        removed.push(...this.#trim(stream, "bytes", within(bytes - keep.maxBytes)));
      }
      removed.push(...this.#trimOutboxTo(limits.maxBytes * outboxShare));
      const excess = this.excess(asideBytes);
      if (excess > 0) removed.push(...this.makeRoom(excess));
      return removed;
    });
  }

  /** Bytes over the budget of the whole, or under the space that has to stay free on the disk. */
  excess(asideBytes: number): number {
    const { db, limits } = this.#options;
    const { used, wal } = db.sizes;
    return Math.max(used + wal + asideBytes - limits.maxBytes, this.#lackOfSpace());
  }

  /** Less of the disk is free than has to stay so, or less than a log needs. */
  get isDiskShort(): boolean {
    return this.#lackOfSpace(logRoom) > 0;
  }

  #lackOfSpace(least = 0): number {
    const { db, limits } = this.#options;
    const { minFree } = limits;
    try {
      const { bavail, blocks, bsize } = statfsSync(dirname(db.file));
      const wanted = Math.max(least, "bytes" in minFree ? minFree.bytes : (blocks * bsize * minFree.percent) / 100);
      const { used, free } = db.sizes;
      // Only what this file holds can be given, some at a time: another's gigabytes are not made up for by emptying it.
      return Math.min(wanted - bavail * bsize - free, used * 0.05);
    } catch {
      return 0;
    }
  }

  /** Removes about `bytes` of the oldest readings, those of the lowest priority first. Call it within a transaction. */
  makeRoom(bytes: number): Removed[] {
    const { setups, streams } = this.#options;
    const goes = within(bytes);
    const byPriority = [...setups].sort((a, b) => a.keep.priority - b.keep.priority);
    // Streams that are configured no more have nobody to speak for them.
    const orphans = streams.all.filter(({ name }) => !setups.some((setup) => setup.name === name));
    const inTurn = [...orphans, ...byPriority.flatMap(({ name }) => streams.get(name) ?? [])];
    const removed = inTurn.flatMap((stream) => this.#trim(stream, "budget", goes));
    return removed.length > 0 ? removed : this.#trimOutboxTo(0);
  }

  #trim(stream: KnownStream, reason: "age" | "bytes" | "budget", goes: (row: Row) => boolean): Removed[] {
    const { pieces, ledger } = this.#options;
    let n = 0;
    let isAny = false;
    for (const row of pieces.oldest(stream, maxPieces)) {
      if (!goes(row)) break;
      isAny = true;
      n += pieces.remove(stream, row);
    }
    ledger.countDropped(stream.id, reason, n);
    return isAny ? [{ stream: stream.name, reason, n }] : [];
  }

  #trimOutboxTo(maxBytes: number): Removed[] {
    const { ledger } = this.#options;
    if (ledger.outboxBytes <= maxBytes) return [];
    const n = ledger.trimOutbox(maxOutboxItems);
    ledger.countDropped(0, "outbox", n);
    return n > 0 ? [{ stream: "", reason: "outbox", n }] : [];
  }
}

/** Lets pieces go until they make up `bytes`. */
function within(bytes: number): (row: Row) => boolean {
  let left = bytes;
  return (row) => {
    if (left <= 0) return false;
    left -= Number(row.bytes);
    return true;
  };
}
