/** Schema of buffer.db, migration by migration. Names and values stand only in sealed columns (`*_sealed`). */
export const bufferMigrations: readonly string[] = [
  `CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
   CREATE TABLE stream (
     id INTEGER PRIMARY KEY,
     name_sealed BLOB NOT NULL,
     next INTEGER NOT NULL DEFAULT 0,
     inferred INTEGER NOT NULL DEFAULT 0,
     aggregated INTEGER NOT NULL DEFAULT 0,
     uplinked INTEGER NOT NULL DEFAULT 0);
   CREATE TABLE layout (
     stream INTEGER NOT NULL, id INTEGER NOT NULL, fields_sealed BLOB NOT NULL,
     PRIMARY KEY (stream, id)) WITHOUT ROWID;
   CREATE TABLE source (
     stream INTEGER NOT NULL, id INTEGER NOT NULL, source_sealed BLOB NOT NULL,
     PRIMARY KEY (stream, id)) WITHOUT ROWID;
   CREATE TABLE piece (
     stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
     is_block INTEGER NOT NULL, layout INTEGER NOT NULL,
     from_ts INTEGER NOT NULL, to_ts INTEGER NOT NULL, age INTEGER NOT NULL,
     body_sealed BLOB NOT NULL,
     PRIMARY KEY (stream, first));
   CREATE TABLE outbox (
     lane INTEGER NOT NULL, n INTEGER NOT NULL, stream INTEGER NOT NULL, is_aggregate INTEGER NOT NULL,
     at INTEGER NOT NULL, body_sealed BLOB NOT NULL,
     PRIMARY KEY (lane, n)) WITHOUT ROWID;
   CREATE TABLE dead (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, body_sealed BLOB NOT NULL);
   CREATE TABLE snapshot (
     stream INTEGER NOT NULL, name TEXT NOT NULL, sequence INTEGER NOT NULL, body_sealed BLOB NOT NULL,
     PRIMARY KEY (stream, name)) WITHOUT ROWID;
   CREATE TABLE dropped (
     stream INTEGER NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL,
     PRIMARY KEY (stream, reason)) WITHOUT ROWID;
   CREATE TABLE quarantine (
     stream INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL,
     PRIMARY KEY (stream, first)) WITHOUT ROWID;`,
];

/** Schema of state.db: wrapped keys and small values that are never set aside. */
export const stateMigrations: readonly string[] = [
  "CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
];
