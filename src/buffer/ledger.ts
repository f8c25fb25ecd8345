import type { Database, Statement } from "../drivers/sqlite.ts";
import { type KeptLetter, lanes, type OutboxEntry, type OutboxItem, type OutboxLane, type Snapshot } from "./commit.ts";
import type { Dictionary } from "./dictionary.ts";
import type { SealedRows } from "./sealed-rows.ts";

/** Dead letters that are kept; the oldest go first. */
const maxDead = 1_000;
/** Dead letters belong to no stream: they are sealed under the gateway itself. */
const gateway = 0;
const kinds = ["result", "aggregate"] as const;

/** What a journal keeps beside readings: outbox, dead letters, snapshots, counts of what was dropped. All in one file. */
export class Ledger {
  readonly #rows: SealedRows;
  readonly #streams: Dictionary;
  readonly #next: number[];
  readonly #sql: Readonly<Record<keyof typeof statements, Statement>>;

  constructor(db: Database, rows: SealedRows, streams: Dictionary) {
    this.#rows = rows;
    this.#streams = streams;
    this.#sql = Object.fromEntries(Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])) as Record<
      keyof typeof statements,
      Statement
    >;
    this.#next = lanes.map((lane) => Number(this.#sql.getMeta.get(`outbox/${lane}`)?.value ?? 1));
  }

  /** The number that a lane's next item will get. */
  get marks(): number[] {
    return [...this.#next];
  }

  /** After a transaction that did not hold. */
  resetMarks(marks: readonly number[]): void {
    marks.forEach((mark, lane) => {
      this.#next[lane] = mark;
    });
  }

  addOutbox(items: readonly OutboxItem[], at: number): void {
    for (const { lane, stream, kind, body } of items) {
      const known = this.#streams.get(stream);
      if (!known) continue;
      const number = lanes.indexOf(lane);
      const n = this.#next[number] ?? 1;
      this.#next[number] = n + 1;
      const sealed = this.#rows.seal(known.id, "outbox", n * lanes.length + number, body);
      this.#sql.addOutbox.run(number, n, known.id, kinds.indexOf(kind), at, sealed);
    }
    if (items.length === 0) return;
    for (const [number, lane] of lanes.entries()) this.#sql.putMeta.run(`outbox/${lane}`, this.#next[number] ?? 1);
  }

  /** Items of a lane after number `n`, in order. */
  outboxAfter(lane: OutboxLane, n: number, limit: number, maxBytes: number): OutboxEntry[] {
    const number = lanes.indexOf(lane);
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    for (const row of this.#sql.outbox.all(number, n, limit)) {
      const stream = this.#streams.byId(Number(row.stream));
      if (!stream) continue;
      const body = this.#rows.open(stream.id, "outbox", Number(row.n) * lanes.length + number, row.body_sealed);
      bytes += body.length;
      if (entries.length > 0 && bytes > maxBytes) break;
      entries.push({
        lane,
        n: Number(row.n),
        stream: stream.name,
        kind: kinds[Number(row.is_aggregate)] ?? "result",
        body,
        at: Number(row.at),
      });
    }
    return entries;
  }

  /** The sink has everything of a lane up to `n`. */
  receipt(lane: OutboxLane, n: number): number {
    return this.#sql.receipt.run(lanes.indexOf(lane), n).changes;
  }

  addDead(letters: readonly KeptLetter[]): void {
    for (const letter of letters) {
      const payload = Buffer.from(letter.payload).toString("base64");
      const id = Number(this.#sql.nextDead.get()?.id ?? 1);
      const sealed = this.#rows.sealJson(gateway, "dead", id, { ...letter, payload });
      this.#sql.addDead.run(id, letter.receivedAt, sealed);
    }
    if (letters.length > 0) this.#sql.trimDead.run(maxDead);
  }

  /** Newest first. */
  dead(limit: number, before = Number.MAX_SAFE_INTEGER): (KeptLetter & { id: number })[] {
    return this.#sql.dead.all(before, limit).map((row) => {
      const id = Number(row.id);
      const letter = this.#rows.openJson<KeptLetter & { payload: string }>(gateway, "dead", id, row.body_sealed);
      return { ...letter, id, payload: Buffer.from(letter.payload, "base64") };
    });
  }

  removeDead(ids: readonly number[] | "all"): number {
    if (ids === "all") return this.#sql.purgeDead.run().changes;
    return ids.reduce((sum, id) => sum + this.#sql.removeDead.run(id).changes, 0);
  }

  putSnapshots(snapshots: readonly Snapshot[]): void {
    for (const { stream, name, sequence, bytes } of snapshots) {
      const known = this.#streams.get(stream);
      if (known)
        this.#sql.putSnapshot.run(known.id, name, sequence, this.#rows.seal(known.id, "state", sequence, bytes));
    }
  }

  snapshot(stream: string, name: string): { sequence: number; bytes: Uint8Array } | null {
    const known = this.#streams.get(stream);
    const row = known && this.#sql.snapshot.get(known.id, name);
    if (!row) return null;
    const sequence = Number(row.sequence);
    return { sequence, bytes: this.#rows.open(known.id, "state", sequence, row.body_sealed) };
  }

  countDropped(stream: number, reason: string, n: number): void {
    if (n > 0) this.#sql.drop.run(stream, reason, n);
  }

  droppedOf(stream: number): Record<string, number> {
    return Object.fromEntries(this.#sql.dropped.all(stream).map(({ reason, n }) => [String(reason), Number(n)]));
  }

  counts() {
    const outbox = this.#sql.outboxCounts.get();
    return {
      messages: Number(outbox?.messages ?? 0),
      oldest: outbox?.oldest === null || outbox === undefined ? null : Number(outbox.oldest),
      dead: Number(this.#sql.deadCount.get()?.n ?? 0),
      quarantined: Number(this.#sql.quarantineCount.get()?.n ?? 0),
    };
  }
}

const statements = {
  getMeta: "SELECT value FROM meta WHERE name = ?",
  putMeta: "INSERT OR REPLACE INTO meta VALUES (?, ?)",
  addOutbox: "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
  outbox: "SELECT * FROM outbox WHERE lane = ? AND n > ? ORDER BY n LIMIT ?",
  receipt: "DELETE FROM outbox WHERE lane = ? AND n <= ?",
  outboxCounts: "SELECT count(*) AS messages, min(at) AS oldest FROM outbox",
  nextDead: "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'dead'), 0) + 1 AS id",
  addDead: "INSERT INTO dead VALUES (?, ?, ?)",
  trimDead: "DELETE FROM dead WHERE id <= (SELECT max(id) FROM dead) - ?",
  dead: "SELECT * FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?",
  removeDead: "DELETE FROM dead WHERE id = ?",
  purgeDead: "DELETE FROM dead",
  deadCount: "SELECT count(*) AS n FROM dead",
  putSnapshot: "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
  snapshot: "SELECT * FROM snapshot WHERE stream = ? AND name = ?",
  drop: "INSERT INTO dropped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
  dropped: "SELECT reason, n FROM dropped WHERE stream = ?",
  quarantineCount: "SELECT count(*) AS n FROM quarantine",
} as const;
