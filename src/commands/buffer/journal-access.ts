import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { type AuditCheck, checkAudit } from "../../buffer/audit-rows.ts";
import type { BufferStats, KeptLetter } from "../../buffer/commit.ts";
import type { Store } from "../../buffer/store.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { findKey } from "../../crypto/key-ring.ts";
import { type ExportQuery, exportReadings } from "../../gateway/buffer-export.ts";
import type { ReadingLine } from "../../gateway/reading-line.ts";
import { type ToldErasure, toldErasure } from "../../gateway/told-erasure.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { keyPlace } from "../keys/passphrase.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Io } from "../verb.ts";

export type Letter = KeptLetter & { readonly id: number };

/** An entry of the audit log: what it says is JSON; empty when it does not open. */
export type AuditLine = { readonly n: number; readonly hash: string; readonly body: string };

/** A journal, whoever has it open. */
export type JournalAccess = {
  /** A daemon has it open: it goes on while one looks. */
  readonly isLive: boolean;
  stats(): Promise<BufferStats>;
  /** Tells every reading that the query is after, in order of arrival; it waits where `take` says so. */
  readings(query: ExportQuery, take: (line: ReadingLine) => Promise<void> | undefined): Promise<void>;
  /** Entries of the audit log, newest first, from below number `before`. */
  audit(limit: number, before?: number): Promise<readonly AuditLine[]>;
  /** Checks the whole audit log. */
  verifyAudit(): Promise<AuditCheck>;
  /** What has been erased, newest first. */
  erasures(limit: number): Promise<readonly ToldErasure[]>;
  /** Dead letters, newest first, from below the id `before`. */
  letters(limit: number, before?: number): Promise<readonly Letter[]>;
  /** @returns how many there were */
  removeLetters(ids: readonly number[] | "all"): Promise<number>;
  close(): void;
};

/**
 * Opens the journal: through the running daemon, else the data directory itself.
 * @throws TidegateError CONTROL_DENIED, DATA_DIR_IN_USE (another process has it, and no daemon answers), JOURNAL_ABSENT,
 *   KEY_MISSING, KEY_WRONG, …
 */
export async function openJournal(io: Io, loaded: LoadedConfig): Promise<JournalAccess> {
  try {
    return throughDaemon(await ControlClient.connect(controlSocket(loaded)), io.signal);
  } catch (thrown) {
    if (!(thrown instanceof TidegateError) || thrown.code !== "CONTROL_UNAVAILABLE") throw thrown;
    return openFiles(io, loaded);
  }
}

function throughDaemon(client: ControlClient, signal: AbortSignal): JournalAccess {
  const call = (method: string, params: Record<string, unknown> = {}) => client.call(method, params, { signal });
  return {
    isLive: true,
    stats: async () => (await call("buffer.stats")) as BufferStats,
    readings: async (query, take) => {
      await client.call("buffer.export", { ...query }, { signal, onItem: (item) => take(item as ReadingLine) });
    },
    audit: async (limit, before) => (await call("audit.list", { limit, before })) as AuditLine[],
    verifyAudit: async () => (await call("audit.verify")) as AuditCheck,
    erasures: async (limit) => (await call("buffer.erasures", { limit })) as ToldErasure[],
    letters: async (limit, before) => {
      const letters = (await call("dead.list", { limit, before })) as (Letter & { payload: string })[];
      return letters.map((letter) => ({ ...letter, payload: Buffer.from(letter.payload, "base64") }));
    },
    removeLetters: async (ids) => (await call("dead.remove", { ids })) as number,
    close: () => client.close(),
  };
}

/**
 * Opens the data directory itself, for as long as no daemon has it.
 * @throws TidegateError DATA_DIR_IN_USE, JOURNAL_ABSENT, KEY_MISSING, KEY_WRONG, …
 */
export async function openStore(io: Io, { config }: LoadedConfig): Promise<{ store: Store; storageRoot: Uint8Array }> {
  const { dataDir } = config.gateway;
  // Opening makes what is missing. To look must not begin a journal, nor give up the one whose keys are elsewhere.
  for (const name of ["state.db", "buffer.db"]) requireFile(dataDir, name);
  const { key, file } = findKey(await keyPlace(io, dataDir), "storage");
  if (!key) throw new TidegateError("KEY_MISSING", { dir: dataDir, file });
  // Loaded when it is needed: beside a daemon it is not.
  const { Store } = await import("../../buffer/store.ts");
  const streams = Object.entries(config.streams).map(([name, { fields, keep }]) => ({
    name,
    fields: Object.keys(fields),
    keep,
  }));
  const { blockReadings } = config.buffer;
  const options = { dir: dataDir, storageRoot: key, streams, limits: config.buffer, blockReadings } as const;
  const store = new Store({ ...options, synchronous: "FULL" }, (event) => {
    if (event.event === "corrupt")
      io.err(`A damaged piece was set apart (${event.readings} readings): ${event.reason}`);
    else if (event.event === "set-aside") io.err(`${event.file} would not open and was set aside: ${event.reason}`);
  });
  return { store, storageRoot: key };
}

async function openFiles(io: Io, loaded: LoadedConfig): Promise<JournalAccess> {
  const { store } = await openStore(io, loaded);
  const from = {
    read: store.read.bind(store),
    sourcesOf: (stream: string) => store.stateOf(stream).sources,
  };
  return {
    isLive: false,
    stats: async () => store.stats(),
    readings: async (query, take) => {
      for await (const lines of exportReadings(query, from)) {
        for (const line of lines) {
          const pause = take(line);
          if (pause) await pause;
        }
        // Reading blocks: without a pause nobody would notice a signal, or that the reader has gone.
        await setImmediate();
        if (io.signal.aborted) throw new TidegateError("STOPPED", { what: "the export" });
      }
    },
    audit: async (limit, before) =>
      store.auditRead(limit, before).map(({ body, ...row }) => ({ ...row, body: Buffer.from(body).toString("utf8") })),
    verifyAudit: () => checkAudit(async (from) => store.auditCheck(from)),
    erasures: async (limit) => store.erasures(limit).map(toldErasure),
    letters: async (limit, before) => store.dead(limit, before),
    removeLetters: async (ids) => store.removeDead(ids),
    close: () => store.close(),
  };
}

function requireFile(dir: string, name: string): void {
  const file = join(dir, name);
  try {
    statSync(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new TidegateError("JOURNAL_ABSENT", { dir, file: name }, { cause });
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}
