import { join } from "node:path";
import type { Cursors } from "../../src/buffer/commit.ts";
import { Store } from "../../src/buffer/store.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { Database } from "../../src/drivers/sqlite.ts";
import { exportReadings } from "../../src/gateway/buffer-export.ts";
import type { ReadingLine } from "../../src/gateway/reading-line.ts";

export type Stored = { readonly readings: readonly ReadingLine[]; readonly cursors: Readonly<Cursors> };

/** Opens the journal of a daemon that has ended. */
export function openStore(dataDir: string, stream: string, fields: readonly string[]) {
  const { storageRoot } = openKeyRing({ dataDir });
  const keep = { maxBytes: 2 ** 40, maxAge: Number.MAX_SAFE_INTEGER, priority: 5 };
  const limits = { maxBytes: 2 ** 40, minFree: { bytes: 0 } };
  const streams = [{ name: stream, fields, keep }];
  const events: unknown[] = [];
  const options = { dir: dataDir, storageRoot, streams, limits, blockReadings: 1_024, synchronous: "FULL" } as const;
  const store = new Store(options, (event) => events.push(event));
  const close = () => {
    store.close();
    if (events.length > 0) throw new Error(`the journal was damaged: ${JSON.stringify(events)}`);
  };
  return { store, close };
}

/**
 * Gives every reading of a stream in the journal of a daemon that has ended to `take`.
 * @returns how far the readings were worked on
 */
export async function eachStored(
  dataDir: string,
  stream: string,
  fields: readonly string[],
  take: (reading: ReadingLine) => void,
): Promise<Readonly<Cursors>> {
  const { store, close } = openStore(dataDir, stream, fields);
  try {
    const from = { read: store.read.bind(store), sourcesOf: (name: string) => store.stateOf(name).sources };
    for await (const lines of exportReadings({ stream }, from)) lines.forEach(take);
    return store.stateOf(stream).cursors;
  } finally {
    close();
  }
}

/** Everything that the journal of a daemon that has ended holds of a stream. */
export async function readStored(dataDir: string, stream: string, fields: readonly string[]): Promise<Stored> {
  const readings: ReadingLine[] = [];
  const cursors = await eachStored(dataDir, stream, fields, (reading) => readings.push(reading));
  return { readings, cursors };
}

/** What `PRAGMA integrity_check` says of both databases: `["ok", "ok"]`. */
export function integrityOf(dataDir: string): unknown[] {
  return ["buffer.db", "state.db"].map((name) => {
    const db = new Database(join(dataDir, name));
    try {
      return db.pragma("integrity_check");
    } finally {
      db.close();
    }
  });
}
