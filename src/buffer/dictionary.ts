import { TidegateError } from "../base/errors.ts";
import type { Source } from "../base/frame.ts";
import type { Database, Statement } from "../drivers/sqlite.ts";
import type { Cursors, StreamSetup, StreamState } from "./commit.ts";
import { firstNumber, itemKinds, maxStreams } from "./schema.ts";
import type { SealedRows } from "./sealed-rows.ts";

/** A stream as the journal knows it. */
export type KnownStream = {
  readonly id: number;
  readonly name: string;
  /** Field names by layout: a piece keeps the layout that it was written with. */
  readonly layouts: (readonly string[])[];
  layout: number;
  fields: readonly string[];
  sources: Source[];
  next: number;
  cursors: Cursors;
};

/** The names behind the numbers: streams, their fields and sources. All sealed on disk. */
export class Dictionary {
  readonly #rows: SealedRows;
  readonly #byName = new Map<string, KnownStream>();
  readonly #byId = new Map<number, KnownStream>();
  readonly #addStream: Statement;
  readonly #addItem: Statement;
  readonly #saveStream: Statement;

  /** @throws TidegateError PIECE_CORRUPT, KEY_DESTROYED */
  constructor(db: Database, rows: SealedRows) {
    this.#rows = rows;
    this.#addStream = db.prepare(
      "INSERT INTO stream (id, name_sealed, next, inferred, aggregated, uplinked) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#addItem = db.prepare("INSERT OR REPLACE INTO item (kind, stream, key, body_sealed) VALUES (?, ?, ?, ?)");
    this.#saveStream = db.prepare(
      "UPDATE stream SET next = ?, inferred = ?, aggregated = ?, uplinked = ? WHERE id = ?",
    );
    const items = db.prepare("SELECT key, body_sealed FROM item WHERE kind = ? AND stream = ? ORDER BY key");
    for (const row of db.prepare("SELECT * FROM stream ORDER BY id").all()) {
      const id = Number(row.id);
      const name = rows.openJson<string>(id, "dictionary", 0, row.name_sealed);
      const layouts = items.all(itemKinds.layout, id);
      const fieldLists = layouts.map((l) =>
        rows.openJson<string[]>(id, "dictionary", -1 - Number(l.key), l.body_sealed),
      );
      const sources = items.all(itemKinds.source, id);
      this.#learn({
        id,
        name,
        layouts: fieldLists,
        layout: layouts.length - 1,
        // A stream that is configured no more keeps the fields that it had last.
        fields: fieldLists.at(-1) ?? [],
        sources: sources.map((s) => rows.openJson(id, "dictionary", 1 + Number(s.key), s.body_sealed)),
        next: Number(row.next),
        cursors: {
          inferred: Number(row.inferred),
          aggregated: Number(row.aggregated),
          uplinked: Number(row.uplinked),
        },
      });
    }
  }

  #learn(stream: KnownStream): void {
    this.#byName.set(stream.name, stream);
    this.#byId.set(stream.id, stream);
  }

  /**
   * Registers a stream, or takes up a known one with the fields that it has now. Call it within a transaction.
   * @param earlier  the same stream as the file before this one knew it: numbers and sources go on
   */
  open({ name, fields }: Pick<StreamSetup, "name" | "fields">, earlier?: KnownStream): KnownStream {
    let stream = this.#byName.get(name);
    if (!stream) {
      const id = Math.max(0, ...this.#byId.keys()) + 1;
      if (id > maxStreams) throw new TidegateError("STORAGE_FAILED", { reason: `more than ${maxStreams} streams` });
      this.#rows.begin(id);
      const start = firstNumber(this.#rows.epoch);
      const next = earlier?.next ?? start;
      const cursors = { ...(earlier?.cursors ?? { inferred: start, aggregated: start, uplinked: start }) };
      const { inferred, aggregated, uplinked } = cursors;
      const sealed = this.#rows.sealJson(id, "dictionary", 0, name);
      this.#addStream.run(id, sealed, next, inferred, aggregated, uplinked);
      stream = { id, name, layouts: [], layout: -1, fields, sources: [...(earlier?.sources ?? [])], next, cursors };
      this.writeSources(stream, 0, stream.sources);
      this.#learn(stream);
    }
    stream.fields = fields;
    stream.layout = stream.layouts.findIndex((layout) => JSON.stringify(layout) === JSON.stringify(fields));
    if (stream.layout === -1) {
      stream.layout = stream.layouts.push(fields) - 1;
      const sealed = this.#rows.sealJson(stream.id, "dictionary", -1 - stream.layout, fields);
      this.#addItem.run(itemKinds.layout, stream.id, stream.layout, sealed);
    }
    return stream;
  }

  get(name: string): KnownStream | undefined {
    return this.#byName.get(name);
  }

  get all(): KnownStream[] {
    return [...this.#byName.values()];
  }

  byId(id: number): KnownStream | undefined {
    return this.#byId.get(id);
  }

  /** Writes new sources; the memory follows once the transaction holds. */
  writeSources(stream: KnownStream, at: number, sources: readonly Source[]): void {
    sources.forEach((source, i) => {
      const sealed = this.#rows.sealJson(stream.id, "dictionary", 1 + at + i, source);
      this.#addItem.run(itemKinds.source, stream.id, at + i, sealed);
    });
  }

  writeProgress(stream: KnownStream, next: number, cursors: Cursors): void {
    this.#saveStream.run(next, cursors.inferred, cursors.aggregated, cursors.uplinked, stream.id);
  }
}

export const stateOf = ({ sources, next, cursors }: KnownStream): StreamState => ({
  sources: [...sources],
  next,
  cursors: { ...cursors },
});
