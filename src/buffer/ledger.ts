import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Database, Row, Statement } from "../drivers/sqlite.ts";
import { type KeptLetter, lanes, type OutboxEntry, type OutboxItem, type OutboxLane, type Snapshot } from "./commit.ts";
import type { Dictionary } from "./dictionary.ts";
import { firstNumber, itemKinds } from "./schema.ts";
import type { SealedRows } from "./sealed-rows.ts";
import { isWhole } from "./tombstone.ts";

/** Dead letters that are kept, by number and by sealed bytes; the oldest go first. */
const maxDead = 1_000;
const maxDeadBytes = 8 * 2 ** 20;
/** Dead letters belong to no stream: they are sealed under the gateway itself. */
const gateway = 0;
const kinds = ["result", "aggregate"] as const;
const { mark, dropped, snapshot } = itemKinds;

/** What a journal keeps beside readings: outbox, dead letters, snapshots, counts of what was dropped. All in one file. */
export class Ledger {
  readonly #db: Database;
  readonly #rows: SealedRows;
  readonly #streams: Dictionary;
  /** The number that each lane's next item gets. */
  #next: number[];
  readonly #sql: Readonly<Record<keyof typeof statements, Statement>>;
  readonly #onCorrupt: (stream: string | null, what: "outbox" | "dead", reason: string) => void;
  /** What is being erased: an item of the outbox, of a stream that it touches, and a dead letter. */
  isErased: (body: Uint8Array) => boolean = () => false;
  isErasedLetter: (letter: KeptLetter, epoch: number) => boolean = () => false;

  constructor(
    db: Database,
    rows: SealedRows,
    streams: Dictionary,
    onCorrupt: (stream: string | null, what: "outbox" | "dead", reason: string) => void,
  ) {
    this.#db = db;
    this.#rows = rows;
    this.#streams = streams;
    this.#onCorrupt = onCorrupt;
    this.#sql = db.prepareAll(statements);
    rows.use(gateway, this.mark("epoch/dead") ?? 0);
    this.#next = lanes.map((lane) => this.mark(`outbox/${lane}`) ?? firstNumber(rows.file) + 1);
  }

  /** A number of the journal itself; null when it was never set. */
  mark(name: string): number | null {
    const row = this.#sql.mark.get(name);
    return row ? Number(row.number) : null;
  }

  setMark(name: string, number: number): void {
    this.#sql.setMark.run(name, number);
  }

  addMark(name: string, number: number): void {
    this.#sql.addMark.run(name, number);
  }

  /** Age of the journal and the wall clock when it was saved, ms; null at first. */
  get savedAge(): { readonly age: number; readonly wall: number } | null {
    const [age, wall] = [this.mark("age"), this.mark("wall")];
    return age === null || wall === null ? null : { age, wall };
  }

  saveAge(age: number, wall: number): void {
    this.#db.transaction(() => {
      this.setMark("age", age);
      this.setMark("wall", wall);
    });
  }

  /** The number that each lane's next item gets. */
  get marks(): number[] {
    return [...this.#next];
  }

  /** Puts the numbers back after a transaction that did not hold, or takes them over from an earlier file. */
  resetMarks(marks: readonly number[]): void {
    this.#next = [...marks];
  }

  addOutbox(items: readonly OutboxItem[], at: number): void {
    let [added, bytes] = [0, 0];
    for (const { lane, stream, kind, body } of items) {
      const known = this.#streams.get(stream);
      if (!known) continue;
      const number = lanes.indexOf(lane);
      const n = this.#next[number] ?? 1;
      this.#next[number] = n + 1;
      const sealed = this.#rows.seal(known.id, "outbox", n * lanes.length + number, body);
      this.#sql.addOutbox.run(number, n, known.id, kinds.indexOf(kind), at, sealed, this.#rows.epochOf(known.id));
      added++;
      bytes += sealed.length;
    }
    if (added === 0) return;
    for (const [number, lane] of lanes.entries()) this.setMark(`outbox/${lane}`, this.#next[number] ?? 1);
    this.countOutbox(added, bytes);
  }

  /** Items of a lane after number `n`, in order. One that does not open is removed and told: it must not hold up the lane. */
  outboxAfter(lane: OutboxLane, n: number, limit: number, maxBytes: number): OutboxEntry[] {
    const number = lanes.indexOf(lane);
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    for (const row of this.#sql.outbox.all(number, n, limit)) {
      bytes += Number(row.bytes);
      if (entries.length > 0 && bytes > maxBytes) break;
      const entry = this.#openEntry(lane, number, Number(row.n));
      if (entry) entries.push(entry);
    }
    return entries;
  }

  #openEntry(lane: OutboxLane, number: number, n: number): OutboxEntry | null {
    const row = this.#sql.outboxItem.get(number, n);
    if (!row) return null;
    const stream = this.#streams.byId(Number(row.stream));
    try {
      if (!stream) throw new TidegateError("PIECE_CORRUPT", { reason: "it is of no known stream" });
      const epoch = Number(row.epoch);
      const { tombstone } = stream;
      // Its key is gone, and its row goes next.
      if (tombstone && epoch < tombstone.below && isWhole(tombstone)) return null;
      const body = this.#rows.open(stream.id, "outbox", n * lanes.length + number, row.body_sealed, epoch);
      if (tombstone && epoch < tombstone.below && this.isErased(body)) return null;
      const kind = kinds[Number(row.kind)] ?? "result";
      return { lane, n, stream: stream.name, kind, body, at: Number(row.at) };
    } catch (thrown) {
      this.#removeOutbox(number, n - 1, n);
      this.#onCorrupt(stream?.name ?? null, "outbox", reasonOf(thrown));
      return null;
    }
  }

  /** The sink has everything of a lane up to `n`. @returns items that went */
  receipt(lane: OutboxLane, n: number): number {
    return this.#removeOutbox(lanes.indexOf(lane), -1, n);
  }

  /** Removes the items of a lane after `after` up to `upTo`. */
  #removeOutbox(lane: number, after: number, upTo: number): number {
    return this.#db.transaction(() => {
      const { messages, bytes } = this.#sql.sizeOutbox.get(lane, after, upTo) ?? {};
      if (Number(messages) === 0) return 0;
      this.countOutbox(-Number(messages), -Number(bytes));
      return this.#sql.removeOutbox.run(lane, after, upTo).changes;
    });
  }

  countOutbox(messages: number, bytes: number): void {
    this.#sql.addMark.run("outbox/messages", messages);
    this.#sql.addMark.run("outbox/bytes", bytes);
  }

  addDead(letters: readonly KeptLetter[]): void {
    if (letters.length === 0) return;
    let id = this.mark("dead") ?? 1;
    for (const letter of letters) {
      const payload = Buffer.from(letter.payload).toString("base64");
      const sealed = this.#rows.sealJson(gateway, "dead", id, { ...letter, payload });
      this.#sql.addDead.run(id++, letter.receivedAt, sealed, this.#rows.epochOf(gateway));
    }
    this.setMark("dead", id);
    this.#sql.trimDead.run(id - maxDead);
    let bytes = 0;
    const tooMuch = this.#sql.deadSizes.all().find((row) => {
      bytes += Number(row.bytes);
      return bytes > maxDeadBytes;
    });
    if (tooMuch) this.#sql.trimDead.run(Number(tooMuch.id) + 1);
  }

  /** Newest first. */
  dead(limit: number, before = Number.MAX_SAFE_INTEGER): (KeptLetter & { id: number })[] {
    return this.#sql.dead.all(before, limit).flatMap((row) => {
      const letter = this.#openLetter(row);
      return letter && !this.isErasedLetter(letter, Number(row.epoch)) ? [letter] : [];
    });
  }

  #openLetter(row: Row): (KeptLetter & { id: number }) | null {
    const id = Number(row.id);
    try {
      const kept = [gateway, "dead", id, row.body_sealed, Number(row.epoch)] as const;
      const letter = this.#rows.openJson<KeptLetter & { payload: string }>(...kept);
      return { ...letter, id, payload: Buffer.from(letter.payload, "base64") };
    } catch (thrown) {
      this.#sql.removeDead.run(id);
      this.#onCorrupt(null, "dead", reasonOf(thrown));
      return null;
    }
  }

  removeDead(ids: readonly number[] | "all"): number {
    return this.#db.transaction(() => {
      if (ids === "all") return this.#sql.purgeDead.run().changes;
      return ids.reduce((sum, id) => sum + this.#sql.removeDead.run(id).changes, 0);
    });
  }

  putSnapshots(snapshots: readonly Snapshot[]): void {
    for (const { stream, name, sequence, bytes } of snapshots) {
      const known = this.#streams.get(stream);
      if (known)
        this.#sql.putSnapshot.run(known.id, name, sequence, this.#rows.seal(known.id, "state", sequence, bytes));
    }
  }

  /** Without them windows are rebuilt from readings. */
  removeSnapshots(stream: number): void {
    this.#sql.removeSnapshots.run(stream);
  }

  /** @throws TidegateError PIECE_CORRUPT */
  snapshot(stream: string, name: string): { sequence: number; bytes: Uint8Array } | null {
    const known = this.#streams.get(stream);
    const row = known && this.#sql.snapshot.get(known.id, name);
    if (!row) return null;
    const sequence = Number(row.number);
    return { sequence, bytes: this.#rows.open(known.id, "state", sequence, row.body_sealed) };
  }

  /** @param stream  its number; 0: the gateway itself */
  countDropped(stream: number, reason: string, n: number): void {
    if (n > 0) this.#sql.drop.run(stream, reason, n);
  }

  droppedOf(stream: number): Record<string, number> {
    return Object.fromEntries(this.#sql.dropped.all(stream).map(({ key, number }) => [String(key), Number(number)]));
  }

  counts() {
    const oldest = lanes
      .map((_, lane) => this.#sql.oldestOutbox.get(lane)?.at)
      .flatMap((at) => at ?? [])
      .map(Number);
    return {
      messages: this.mark("outbox/messages") ?? 0,
      oldest: oldest.length > 0 ? Math.min(...oldest) : null,
      dead: Number(this.#sql.deadCount.get()?.n ?? 0),
    };
  }

  get outboxBytes(): number {
    return this.mark("outbox/bytes") ?? 0;
  }

  /** Removes up to `items` of the oldest: of the second lane first, alarms only when nothing else is left. */
  trimOutbox(items: number): number {
    for (let lane = lanes.length - 1; lane >= 0; lane--) {
      const last = this.#sql.outbox.all(lane, -1, items).at(-1);
      if (last) return this.#removeOutbox(lane, -1, Number(last.n));
    }
    return 0;
  }
}

const statements = {
  mark: `SELECT number FROM item WHERE kind = ${mark} AND stream = 0 AND key = ?`,
  setMark: `INSERT OR REPLACE INTO item (kind, stream, key, number) VALUES (${mark}, 0, ?, ?)`,
  addMark: `INSERT INTO item (kind, stream, key, number) VALUES (${mark}, 0, ?, ?)
    ON CONFLICT DO UPDATE SET number = number + excluded.number`,
  addOutbox: "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)",
  outbox: "SELECT n, length(body_sealed) AS bytes FROM outbox WHERE lane = ? AND n > ? ORDER BY n LIMIT ?",
  outboxItem: "SELECT * FROM outbox WHERE lane = ? AND n = ?",
  sizeOutbox:
    "SELECT count(*) AS messages, sum(length(body_sealed)) AS bytes FROM outbox WHERE lane = ? AND n > ? AND n <= ?",
  removeOutbox: "DELETE FROM outbox WHERE lane = ? AND n > ? AND n <= ?",
  oldestOutbox: "SELECT at FROM outbox WHERE lane = ? ORDER BY n LIMIT 1",
  addDead: "INSERT INTO dead VALUES (?, ?, ?, ?)",
  trimDead: "DELETE FROM dead WHERE id < ?",
  deadSizes: "SELECT id, length(body_sealed) AS bytes FROM dead ORDER BY id DESC",
  dead: "SELECT * FROM dead WHERE id < ? ORDER BY id DESC LIMIT ?",
  removeDead: "DELETE FROM dead WHERE id = ?",
  purgeDead: "DELETE FROM dead",
  deadCount: "SELECT count(*) AS n FROM dead",
  putSnapshot: `INSERT OR REPLACE INTO item VALUES (${snapshot}, ?, ?, ?, ?)`,
  snapshot: `SELECT number, body_sealed FROM item WHERE kind = ${snapshot} AND stream = ? AND key = ?`,
  removeSnapshots: `DELETE FROM item WHERE kind = ${snapshot} AND stream = ?`,
  drop: `INSERT INTO item (kind, stream, key, number) VALUES (${dropped}, ?, ?, ?)
    ON CONFLICT DO UPDATE SET number = number + excluded.number`,
  dropped: `SELECT key, number FROM item WHERE kind = ${dropped} AND stream = ?`,
} as const;
