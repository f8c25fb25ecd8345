import type { Source } from "../base/frame.ts";
import type { Database, Statement } from "../drivers/sqlite.ts";
import type { Cursors, StreamSetup, StreamState } from "./commit.ts";
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
  readonly #addStream: Statement;
  readonly #addLayout: Statement;
  readonly #addSource: Statement;
  readonly #saveStream: Statement;

  constructor(db: Database, rows: SealedRows) {
    this.#rows = rows;
    this.#addStream = db.prepare("INSERT INTO stream (id, name_sealed) VALUES (?, ?)");
    this.#addLayout = db.prepare("INSERT INTO layout (stream, id, fields_sealed) VALUES (?, ?, ?)");
    this.#addSource = db.prepare("INSERT OR REPLACE INTO source (stream, id, source_sealed) VALUES (?, ?, ?)");
    this.#saveStream = db.prepare(
      "UPDATE stream SET next = ?, inferred = ?, aggregated = ?, uplinked = ? WHERE id = ?",
    );
    for (const row of db.prepare("SELECT * FROM stream ORDER BY id").all()) {
      const id = Number(row.id);
      const name = rows.openJson<string>(id, "dictionary", 0, row.name_sealed);
      const layouts = db.prepare("SELECT id, fields_sealed FROM layout WHERE stream = ? ORDER BY id").all(id);
      const sources = db.prepare("SELECT id, source_sealed FROM source WHERE stream = ? ORDER BY id").all(id);
      const fieldLists = layouts.map((l) =>
        rows.openJson<string[]>(id, "dictionary", -1 - Number(l.id), l.fields_sealed),
      );
      this.#byName.set(name, {
        id,
        name,
        layouts: fieldLists,
        layout: layouts.length - 1,
        fields: fieldLists.at(-1) ?? [],
        sources: sources.map((s) => rows.openJson(id, "dictionary", 1 + Number(s.id), s.source_sealed)),
        next: Number(row.next),
        cursors: {
          inferred: Number(row.inferred),
          aggregated: Number(row.aggregated),
          uplinked: Number(row.uplinked),
        },
      });
    }
  }

  /** Registers a stream, or takes up a known one with the fields that it has now. Call it within a transaction. */
  open({ name, fields }: StreamSetup): KnownStream {
    let stream = this.#byName.get(name);
    if (!stream) {
      const id = Math.max(0, ...[...this.#byName.values()].map((known) => known.id)) + 1;
      this.#rows.begin(id);
      this.#addStream.run(id, this.#rows.sealJson(id, "dictionary", 0, name));
      const cursors = { inferred: 0, aggregated: 0, uplinked: 0 };
      stream = { id, name, layouts: [], layout: -1, fields, sources: [], next: 0, cursors };
      this.#byName.set(name, stream);
    }
    stream.fields = fields;
    const known = stream.layouts.findIndex((layout) => JSON.stringify(layout) === JSON.stringify(fields));
    stream.layout = known;
    if (known === -1) {
      stream.layout = stream.layouts.push(fields) - 1;
      const sealed = this.#rows.sealJson(stream.id, "dictionary", -1 - stream.layout, fields);
      this.#addLayout.run(stream.id, stream.layout, sealed);
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
    return this.all.find((stream) => stream.id === id);
  }

  /** Writes new sources; the memory follows in `adoptSources`, once the transaction holds. */
  writeSources(stream: KnownStream, at: number, sources: readonly Source[]): void {
    sources.forEach((source, i) => {
      this.#addSource.run(stream.id, at + i, this.#rows.sealJson(stream.id, "dictionary", 1 + at + i, source));
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
