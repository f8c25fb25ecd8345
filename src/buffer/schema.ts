/**
 * Schema of buffer.db, migration by migration. Names and values stand only in sealed columns (`*_sealed`). Few tables,
 * and few indexes: each costs a page, and each page that a commit touches is written again.
 *
 * - `stream`: a stream's numbers and running totals; `merged`: below it there are no tails.
 * - `piece`: readings; `id` is made of stream and sequence number (`pieceId`), so that the table needs no index.
 *   `state`: a tail (0), a block (1), or set apart because it did not open (2); plus four times its erased readings.
 *   `layout`: number of the field names, plus 65,536 times the epoch of its key.
 * - `epoch`, elsewhere: of the row's key; of a stream: of what is written from now on.
 * - `item`: what is few: see `itemKinds`.
 */
export const bufferMigrations: readonly string[] = [
  `CREATE TABLE stream (
     id INTEGER PRIMARY KEY, name_sealed BLOB NOT NULL,
     next INTEGER NOT NULL, inferred INTEGER NOT NULL, aggregated INTEGER NOT NULL, uplinked INTEGER NOT NULL,
     merged INTEGER NOT NULL DEFAULT 0, readings INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
     blocks INTEGER NOT NULL DEFAULT 0, tails INTEGER NOT NULL DEFAULT 0, tail_readings INTEGER NOT NULL DEFAULT 0,
     tail_bytes INTEGER NOT NULL DEFAULT 0, apart INTEGER NOT NULL DEFAULT 0);
   CREATE TABLE piece (
     id INTEGER PRIMARY KEY, count INTEGER NOT NULL, state INTEGER NOT NULL, layout INTEGER NOT NULL,
     from_ts INTEGER NOT NULL, to_ts INTEGER NOT NULL, age INTEGER NOT NULL, body_sealed BLOB NOT NULL);
   CREATE TABLE outbox (
     lane INTEGER, n INTEGER, stream INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
     body_sealed BLOB NOT NULL, PRIMARY KEY (lane, n)) WITHOUT ROWID;
   CREATE TABLE dead (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, body_sealed BLOB NOT NULL);
   CREATE TABLE item (
     kind INTEGER, stream INTEGER, key, number INTEGER, body_sealed BLOB, PRIMARY KEY (kind, stream, key)) WITHOUT ROWID;`,
  // Of pieces the epoch stands in a column before the body: to reach one behind it, SQLite walks through the whole body.
  `ALTER TABLE stream ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE outbox ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE dead ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;`,
];

/**
 * What a row of `item` is. layout: field names, by number; source: by index; snapshot: state of a stream's path, by
 * name; dropped: how many readings, by reason; mark: a number of the journal itself, by name (stream 0); tombstone: what
 * is being erased of the stream.
 */
export const itemKinds = { mark: 0, layout: 1, source: 2, snapshot: 3, dropped: 4, tombstone: 5 } as const;

/** States of a piece. */
export const pieceStates = { tail: 0, block: 1, apart: 2 } as const;

/** What a piece's `state` says. */
export const stateOfPiece = (state: unknown): number => Number(state) & 3;
export const erasedOfPiece = (state: unknown): number => Math.floor(Number(state) / 4);

const maxLayouts = 2 ** 16;
export const layoutOfPiece = (layout: unknown): number => Number(layout) % maxLayouts;
export const epochOfPiece = (layout: unknown): number => Math.floor(Number(layout) / maxLayouts);
export const layoutWithEpoch = (layout: number, epoch: number): number => epoch * maxLayouts + layout;

/** Streams have numbers below 1,024 and readings numbers below this, so that a piece's id is an exact number. */
const maxSequence = 2 ** 43;
export const maxStreams = 1_023;

export const pieceId = (stream: number, sequence: number): number =>
  stream * maxSequence + Math.min(sequence, maxSequence - 1);

export const sequenceOf = (id: number): number => id % maxSequence;

/**
 * Where numbers of readings and of the outbox begin in the file of an epoch: above all that earlier files gave out, so
 * that a number is not used twice and a late receipt takes nothing that was not received.
 */
export const firstNumber = (epoch: number): number => Math.min(epoch - 1, 31) * 2 ** 38;

/** Schema of state.db: wrapped keys and small values that are never set aside, and the audit log (`AuditRows`). */
export const stateMigrations: readonly string[] = [
  "CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
  "CREATE TABLE audit (n INTEGER PRIMARY KEY, hash BLOB NOT NULL, body_sealed BLOB NOT NULL);",
];
