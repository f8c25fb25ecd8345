import type { BufferFile } from "./buffer-file.ts";
import type { BufferStats, StreamStats } from "./commit.ts";
import { pieceId } from "./schema.ts";

/** What is in the journal, from running totals: it costs the same however much that is. */
export function statsOf({ db, ledger, streams }: BufferFile, asideBytes: number, now: number): BufferStats {
  const { messages, oldest, dead } = ledger.counts();
  const { used, free, wal } = db.sizes;
  const first = db.prepare("SELECT from_ts AS at FROM piece WHERE id >= ? AND id < ? ORDER BY id LIMIT 1");
  const last = db.prepare("SELECT to_ts AS at FROM piece WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1");
  const all: Record<string, StreamStats> = {};
  let quarantined = 0;
  for (const row of db.prepare("SELECT * FROM stream").all()) {
    const stream = streams.byId(Number(row.id));
    if (!stream) continue;
    const range = [pieceId(stream.id, 0), pieceId(stream.id + 1, 0)] as const;
    const time = (at: unknown) => (at === undefined ? null : Number(at));
    all[stream.name] = {
      readings: Number(row.readings),
      blocks: Number(row.blocks),
      tails: Number(row.tails),
      bytes: Number(row.bytes),
      oldest: time(first.get(...range)?.at),
      newest: time(last.get(...range)?.at),
      dropped: ledger.droppedOf(stream.id),
    };
    quarantined += Number(row.apart);
  }
  const oldestAgeSeconds = oldest === null ? 0 : Math.max(0, Math.round((now - oldest) / 1000));
  return {
    streams: all,
    walBytes: wal,
    fileBytes: used + free,
    outbox: { messages, oldestAgeSeconds },
    deadLetters: dead,
    quarantined,
    asideBytes,
  };
}
