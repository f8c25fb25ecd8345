import { renderSource } from "../base/frame.ts";
import type { Statement } from "../drivers/sqlite.ts";
import type { BufferFile } from "./buffer-file.ts";
import { type KeptLetter, lanes } from "./commit.ts";
import type { KnownStream } from "./dictionary.ts";
import { type Erasure, type ErasureFacts, isErasedBody, isErasedLetter } from "./erasure.ts";
import type { Tombstone } from "./tombstone.ts";
import { isWhole } from "./tombstone.ts";

/** Commits wait for no longer than one step. */
const stepMs = 2;
const freedPages = 256;
const gateway = 0;
const marks = { number: "erase/number", streams: "erase/streams", readings: "erase/readings" } as const;
const [outboxMark, deadMark] = ["erase/outbox", "erase/dead"] as const;

const statements = {
  outbox: "SELECT * FROM outbox WHERE (lane, n) > (?, ?) ORDER BY lane, n LIMIT 64",
  removeOutbox: "DELETE FROM outbox WHERE lane = ? AND n = ?",
  sealOutbox: "UPDATE outbox SET epoch = ?, body_sealed = ? WHERE lane = ? AND n = ?",
  dead: "SELECT * FROM dead WHERE id > ? ORDER BY id LIMIT 16",
  removeDead: "DELETE FROM dead WHERE id = ?",
  sealDead: "UPDATE dead SET epoch = ?, body_sealed = ? WHERE id = ?",
} as const;

/**
 * One erasure in one buffer file. It can be cut off anywhere and begun again: every row says of itself under which epoch
 * it is sealed, and what is sealed under an older one has not been looked at yet.
 *
 * 1. Hidden at once: each stream concerned goes on under a new epoch, with a tombstone; its dictionary is sealed anew
 *    without the sources that go. Of a stream that goes as a whole the old keys die here.
 * 2. In bounded steps: what a tombstone hides goes, what stays is sealed under the new epoch.
 * 3. The old keys die.
 * 4. In bounded steps: free pages are given back.
 */
export class Eraser {
  readonly erasure: Erasure;
  readonly #file: BufferFile;
  readonly #sql: Readonly<Record<keyof typeof statements, Statement>>;
  readonly #steps: Generator<void, void>;
  #isDone = false;

  constructor(erasure: Erasure, file: BufferFile) {
    this.erasure = erasure;
    this.#file = file;
    this.#sql = file.db.prepareAll(statements);
    this.#hide();
    const { ledger } = file;
    ledger.isErased = (body) => isErasedBody(erasure.request, body);
    const epoch = file.rows.epochOf(gateway);
    ledger.isErasedLetter = (letter, of) => of < epoch && isErasedLetter(erasure.request, letter);
    this.#steps = this.#work();
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  get facts(): ErasureFacts {
    const { ledger } = this.#file;
    return {
      streams: ledger.mark(marks.streams) ?? 0,
      readings: ledger.mark(marks.readings) ?? 0,
      outbox: ledger.mark(outboxMark) ?? 0,
      deadLetters: ledger.mark(deadMark) ?? 0,
    };
  }

  /** One bounded step. */
  step(): void {
    if (this.#steps.next().done) this.#isDone = true;
  }

  /** The streams concerned, with what is erased of each and the sources whose names go. */
  #concerned(): { stream: KnownStream; tombstone: Tombstone; erased: number[] }[] {
    const { request } = this.erasure;
    const { streams, rows } = this.#file;
    return streams.all.flatMap((stream) => {
      if (request.stream !== undefined && stream.name !== request.stream) return [];
      const all = stream.sources.map((_, i) => i);
      const named = all.filter((i) => renderSource(stream.sources[i] ?? {}) === request.source);
      const sources = request.source === undefined ? null : named;
      if (sources?.length === 0) return [];
      const tombstone = { below: rows.epochOf(stream.id) + 1, sources, before: request.before ?? null };
      return [{ stream, tombstone, erased: tombstone.before === null ? (sources ?? all) : [] }];
    });
  }

  #hide(): void {
    const { db, streams, ledger, rows } = this.#file;
    if (ledger.mark(marks.number) !== this.erasure.number) {
      const concerned = this.#concerned();
      const epoch = rows.epochOf(gateway) + 1;
      rows.begin(gateway, epoch);
      for (const { stream, tombstone } of concerned) rows.begin(stream.id, tombstone.below);
      db.transaction(() => {
        for (const { stream, tombstone, erased } of concerned) {
          streams.writeEpoch(stream, tombstone, erased);
          ledger.removeSnapshots(stream.id);
        }
        ledger.setMark("epoch/dead", epoch);
        ledger.setMark(marks.number, this.erasure.number);
        ledger.setMark(marks.streams, concerned.length);
        for (const name of [marks.readings, outboxMark, deadMark]) ledger.setMark(name, 0);
      });
      for (const { stream, tombstone, erased } of concerned) streams.learnEpoch(stream, tombstone, erased);
      rows.use(gateway, epoch);
    }
    const whole = this.#hidden.filter(({ tombstone }) => isWhole(tombstone));
    if (whole.length > 0)
      rows.destroyBefore(new Map(whole.map(({ stream, tombstone }) => [stream.id, tombstone.below])));
  }

  get #hidden(): { stream: KnownStream; tombstone: Tombstone }[] {
    return this.#file.streams.all.flatMap((stream) => {
      const { tombstone } = stream;
      return tombstone ? [{ stream, tombstone }] : [];
    });
  }

  *#work(): Generator<void, void> {
    const { db, streams, rows } = this.#file;
    for (const { stream } of this.#hidden) yield* this.#erasePieces(stream);
    yield* this.#eraseOutbox();
    yield* this.#eraseDead();
    const hidden = this.#hidden;
    // Keys die when what is to stay has come to rest under the new ones.
    db.sync();
    rows.destroyBefore(
      new Map([
        [gateway, rows.epochOf(gateway)],
        ...hidden.map(({ stream, tombstone }) => [stream.id, tombstone.below] as const),
      ]),
    );
    db.transaction(() => {
      for (const { stream } of hidden) streams.dropTombstone(stream);
    });
    for (const { stream } of hidden) stream.tombstone = null;
    this.#file.ledger.isErased = () => false;
    this.#file.ledger.isErasedLetter = () => false;
    yield;
    while (db.sizes.free > 0) {
      const { free } = db.sizes;
      db.shrink(freedPages);
      yield;
      if (db.sizes.free >= free) break;
    }
    db.checkpoint();
  }

  *#erasePieces(stream: KnownStream): Generator<void, void> {
    const { db, pieces, ledger } = this.#file;
    for (let at: number | null = 0; at !== null; ) {
      const from: number = at;
      // A step that a power cut undoes is done again: what it would have sealed anew is of the old epoch still.
      at = db.lazyTransaction(() => {
        const { next, readings } = pieces.erase(stream, from, performance.now() + stepMs);
        ledger.countDropped(stream.id, "erased", readings);
        ledger.addMark(marks.readings, readings);
        return next;
      });
      yield;
    }
  }

  *#eraseOutbox(): Generator<void, void> {
    const { db, ledger, streams, rows } = this.#file;
    for (let [lane, n, isMore]: [number, number, boolean] = [-1, 0, true]; isMore; ) {
      db.lazyTransaction(() => {
        const deadline = performance.now() + stepMs;
        const found = this.#sql.outbox.all(lane, n);
        isMore = found.length > 0;
        for (const row of found) {
          [lane, n] = [Number(row.lane), Number(row.n)];
          const stream = streams.byId(Number(row.stream));
          const epoch = Number(row.epoch);
          if (!stream?.tombstone || epoch >= stream.tombstone.below) continue;
          const sequence = n * lanes.length + lane;
          const body = isWhole(stream.tombstone)
            ? null
            : this.#open(stream.id, "outbox", sequence, row.body_sealed, epoch);
          if (!body || isErasedBody(this.erasure.request, body)) {
            this.#sql.removeOutbox.run(lane, n);
            ledger.countOutbox(-1, -(row.body_sealed as Uint8Array).length);
            ledger.addMark(outboxMark, 1);
          } else {
            const sealed = rows.seal(stream.id, "outbox", sequence, body);
            this.#sql.sealOutbox.run(rows.epochOf(stream.id), sealed, lane, n);
          }
          if (performance.now() >= deadline) break;
        }
      });
      yield;
    }
  }

  *#eraseDead(): Generator<void, void> {
    const { db, ledger, rows } = this.#file;
    for (let [id, isMore]: [number, boolean] = [0, true]; isMore; ) {
      db.transaction(() => {
        const found = this.#sql.dead.all(id);
        isMore = found.length > 0;
        for (const row of found) {
          id = Number(row.id);
          const epoch = Number(row.epoch);
          if (epoch >= rows.epochOf(gateway)) continue;
          const body = this.#open(gateway, "dead", id, row.body_sealed, epoch);
          const letter = body && (JSON.parse(Buffer.from(body).toString("utf8")) as KeptLetter);
          if (!body || !letter || isErasedLetter(this.erasure.request, letter)) {
            this.#sql.removeDead.run(id);
            ledger.addMark(deadMark, 1);
          } else this.#sql.sealDead.run(rows.epochOf(gateway), rows.seal(gateway, "dead", id, body), id);
        }
      });
      yield;
    }
  }

  /** Null when it does not open: then it goes, too. */
  #open(stream: number, kind: "outbox" | "dead", sequence: number, sealed: unknown, epoch: number): Uint8Array | null {
    try {
      return this.#file.rows.open(stream, kind, sequence, sealed, epoch);
    } catch {
      return null;
    }
  }
}
