import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { emptyCommit } from "../buffer/commit.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import type { Signer } from "../crypto/signing.ts";
import type { Link } from "../wire/link.ts";
import { type OwedEntry, type OwedSource, outboxSource } from "../wire/owed-source.ts";
import { Uplink } from "../wire/uplink.ts";
import { erasureSource } from "./erasure-source.ts";
import { readingLines } from "./reading-line.ts";
import type { SinkKey } from "./sink-key.ts";
import type { StreamPath } from "./stream-path.ts";

export type CloudParts = {
  readonly config: Config;
  readonly link: Link;
  readonly journal: Journal;
  readonly paths: readonly StreamPath[];
  readonly signer: Signer;
  readonly sinkKey: SinkKey;
  /** Names one life of the journal's numbers. */
  readonly incarnation: string;
  readonly clock: Clock;
  readonly log: Log;
};

const incarnationName = "incarnation";

/** The name of the journal's life: kept with its numbers, new when those start anew. */
export async function incarnationOf(journal: Journal, isNew: boolean): Promise<string> {
  const known = isNew ? null : await journal.stateGet(incarnationName);
  if (known) return Buffer.from(known).toString("utf8");
  const fresh = randomBytes(8).toString("hex");
  await journal.statePut(incarnationName, Buffer.from(fresh));
  return fresh;
}

/** What brings to the sink what the outbox owes, and the readings of raw streams. */
export async function openUplink(parts: CloudParts): Promise<Uplink> {
  const { config, link, journal, paths, signer, incarnation, clock, log } = parts;
  const { cloud } = config;
  const raw = paths.filter(({ config: stream }) => stream.uplink === "raw");
  return new Uplink({
    link,
    sources: [
      await erasureSource(journal, Object.keys(config.streams)[0] ?? "none"),
      outboxSource(journal, "alarm"),
      outboxSource(journal, "rest"),
      ...(await Promise.all(raw.map((path) => rawSource(journal, path)))),
    ],
    fleet: config.gateway.fleet,
    gateway: config.gateway.id,
    incarnation,
    signer,
    sinkKey: () => parts.sinkKey.value,
    maxPayload: cloud?.maxPayload ?? 122_880,
    onDropped: (stream, lines) => {
      const dropped = [{ stream, reason: "too large", n: lines }];
      void journal.commit({ ...emptyCommit, dropped }).catch(() => {});
    },
    clock,
    log,
    random: Math.random,
  });
}

/** The readings of a raw stream: a cursor over the journal, no copy. The entry of sequence number s has the number s + 1. */
async function rawSource(journal: Journal, path: StreamPath): Promise<OwedSource> {
  const { name: stream } = path;
  const { cursors } = await journal.stateOf(stream);
  return {
    lane: "raw",
    settledUpTo: cursors.uplinked,
    async load(n, limit, maxBytes) {
      // From n on, whatever gap retention has left there.
      const frames = await journal.read(stream, { from: n, limit });
      const entries: OwedEntry[] = [];
      let bytes = 0;
      for (const frame of frames) {
        let sequence = frame.first;
        for (const line of readingLines(frame, path.intake.sources)) {
          const body = Buffer.from(JSON.stringify(line));
          bytes += body.length;
          if (entries.length >= limit || (entries.length > 0 && bytes > maxBytes)) return entries;
          entries.push({ n: ++sequence, stream, kind: "raw", at: line.receivedAt, body });
        }
      }
      return entries;
    },
    settle: (upTo) => journal.commit({ ...emptyCommit, cursors: { [stream]: { uplinked: upTo } } }),
    newest: async () => path.committed,
  };
}
