import type { Commit } from "../buffer/commit.ts";
import type { Journal } from "../buffer/journal.ts";
import type { DeadLetters } from "../ingest/dead-letter.ts";
import type { Health } from "../ops/health.ts";
import type { Link } from "../wire/link.ts";
import type { Brake } from "./brake.ts";
import { Collector } from "./collector.ts";
import { Committer } from "./committer.ts";
import type { GatewayOptions } from "./gateway-options.ts";
import type { StreamPath } from "./stream-path.ts";

/** Readings that start a commit before its time: they wait in memory meanwhile. */
const maxReadings = 8_192;

export type CommitPathParts = Pick<GatewayOptions, "config" | "clock" | "log" | "observe"> & {
  readonly site: Pick<Link, "window" | "lastTicket">;
  readonly paths: readonly StreamPath[];
  readonly letters: DeadLetters;
  readonly journal: Pick<Journal, "commit">;
  readonly health: Health;
  readonly brake: Pick<Brake, "noteReadings">;
  /** The newest message that a commit may answer for. */
  lastTicket(): number;
  /** Messages up to this one are in the journal. */
  durableTicket(): number;
  /** Acknowledges messages up to a ticket. */
  release(ticket: number): void;
  /** The outbox has something new. */
  onOwed(): void;
};

/** The way of readings and results into the journal: what gathers them, and what decides when they are committed. */
export function commitPath(parts: CommitPathParts): { collector: Collector; committer: Committer<Commit> } {
  const { config, clock, log, site, paths, letters, journal, health, brake } = parts;
  const { lastTicket } = parts;
  const collector = new Collector({ paths, letters, lastTicket, hasCloud: config.cloud !== undefined });
  const committer = new Committer<Commit>({
    maxDelayMs: config.buffer.commitMaxDelay,
    // Known once the broker has answered: with MQTT 3.1.1 it sends a few messages only, however many were asked for.
    maxHeld: () => Math.max(1, Math.floor(site.window / 2)),
    maxReadings,
    onFull: config.buffer.onFull,
    clock,
    log,
    // Messages that are durable and wait for the models alone call for no commit.
    waiting: () => {
      brake.noteReadings(collector.pending);
      return { held: site.lastTicket - parts.durableTicket(), readings: collector.pending };
    },
    collect: collector.collect,
    write: async (commit) => {
      health.expect("journal", "commit");
      const start = clock.monotonic();
      try {
        await journal.commit(commit);
        parts.observe?.commit((clock.monotonic() - start) / 1000);
        // Results come after their readings, often in a commit of their own.
        if (commit.outbox.length > 0) parts.onOwed();
      } finally {
        health.progress("journal", "commit");
        brake.noteReadings(collector.pending);
      }
    },
    release: parts.release,
    onFailing: (reason) => {
      if (reason === null) health.ready("disk");
      else health.degrade("disk", reason);
    },
  });
  return { collector, committer };
}
