import { TidegateError } from "../base/errors.ts";
import { erasedSource, isErasedSource, type Source } from "../base/frame.ts";
import type { Database, Statement } from "../drivers/sqlite.ts";
import type { Cursors, StreamSetup, StreamState } from "./commit.ts";
import { firstNumber, itemKinds, maxStreams } from "./schema.ts";
import type { SealedRows } from "./sealed-rows.ts";
import type { Tombstone } from "./tombstone.ts";

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
  /** What is being erased of it. */
  tombstone: Tombstone | null;
};

/** The names behind the numbers: streams, their fields and sources. All sealed on disk. */
export class Dictionary {
  readonly #rows: SealedRows;
  readonly #byName = new Map<string, KnownStream>();
  readonly #byId = new Map<number, KnownStream>();
  readonly #addStream: Statement;
  readonly #addItem: Statement;
  readonly #saveStream: Statement;
  readonly #saveEpoch: Statement;
  readonly #dropTombstone: Statement;

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
    this.#saveEpoch = db.prepare("UPDATE stream SET epoch = ?, name_sealed = ? WHERE id = ?");
    this.#dropTombstone = db.prepare(`DELETE FROM item WHERE kind = ${itemKinds.tombstone} AND stream = ?`);
    const items = db.prepare("SELECT key, body_sealed FROM item WHERE kind = ? AND stream = ? ORDER BY key");
    for (const row of db.prepare("SELECT * FROM stream ORDER BY id").all()) {
      const id = Number(row.id);
      rows.use(id, Number(row.epoch));
      const name = rows.openJson<string>(id, "dictionary", 0, row.name_sealed);
      const layouts = items.all(itemKinds.layout, id);
      const fieldLists = layouts.map((l) =>
        rows.openJson<string[]>(id, "dictionary", -1 - Number(l.key), l.body_sealed),
      );
      const sources = items.all(itemKinds.source, id);
      const [tombstone] = items.all(itemKinds.tombstone, id);
      this.#learn({
        id,
        name,
        layouts: fieldLists,
        layout: layouts.length - 1,
        // A stream that is configured no more keeps the fields that it had last.
        fields: fieldLists.at(-1) ?? [],
        sources: sources.map(
          (s) => rows.openJson<Source | null>(id, "dictionary", 1 + Number(s.key), s.body_sealed) ?? erasedSource,
        ),
        next: Number(row.next),
        cursors: {
          inferred: Number(row.inferred),
          aggregated: Number(row.aggregated),
          uplinked: Number(row.uplinked),
        },
        tombstone: tombstone ? rows.openJson<Tombstone>(id, "state", -1, tombstone.body_sealed) : null,
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
      const start = firstNumber(this.#rows.file);
      const next = earlier?.next ?? start;
      const cursors = { ...(earlier?.cursors ?? { inferred: start, aggregated: start, uplinked: start }) };
      const { inferred, aggregated, uplinked } = cursors;
      const sealed = this.#rows.sealJson(id, "dictionary", 0, name);
      this.#addStream.run(id, sealed, next, inferred, aggregated, uplinked);
      stream = {
        id,
        name,
        layouts: [],
        layout: -1,
        fields,
        sources: [...(earlier?.sources ?? [])],
        next,
        cursors,
        tombstone: null,
      };
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
      // A commit that is tried again does not bring back what was erased meanwhile.
      const isErased = isErasedSource(source) || isErasedSource(stream.sources[at + i] ?? {});
      const sealed = this.#rows.sealJson(stream.id, "dictionary", 1 + at + i, isErased ? null : source);
      this.#addItem.run(itemKinds.source, stream.id, at + i, sealed);
    });
  }

  /** The memory follows what `writeSources` wrote. */
  learnSources(stream: KnownStream, at: number, sources: readonly Source[]): void {
    sources.forEach((source, i) => {
      if (!isErasedSource(stream.sources[at + i] ?? {})) stream.sources[at + i] = source;
    });
  }

  /**
   * Seals what is known of a stream under its next epoch, with what is being erased of it; sources that are erased are
   * left out. The key must have begun. Call it within a transaction; `learnEpoch` follows once that holds.
   */
  writeEpoch(stream: KnownStream, tombstone: Tombstone, erased: readonly number[]): void {
    const { id } = stream;
    const { below: epoch } = tombstone;
    const rows = this.#rows;
    this.#saveEpoch.run(epoch, rows.sealJson(id, "dictionary", 0, stream.name, epoch), id);
    stream.layouts.forEach((fields, i) => {
      this.#addItem.run(itemKinds.layout, id, i, rows.sealJson(id, "dictionary", -1 - i, fields, epoch));
    });
    stream.sources.forEach((source, i) => {
      const kept = erased.includes(i) || isErasedSource(source) ? null : source;
      this.#addItem.run(itemKinds.source, id, i, rows.sealJson(id, "dictionary", 1 + i, kept, epoch));
    });
    this.#addItem.run(itemKinds.tombstone, id, 0, rows.sealJson(id, "state", -1, tombstone, epoch));
  }

  learnEpoch(stream: KnownStream, tombstone: Tombstone, erased: readonly number[]): void {
    this.#rows.use(stream.id, tombstone.below);
    stream.tombstone = tombstone;
    for (const index of erased) stream.sources[index] = erasedSource;
  }

  /** Nothing is left of what a tombstone hides. Call it within a transaction. */
  dropTombstone(stream: KnownStream): void {
    this.#dropTombstone.run(stream.id);
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
