import { hash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import type { Statement } from "../drivers/sqlite.ts";
import type { StateFile } from "./state-file.ts";

/** One entry of the audit log, opened. */
export type AuditRow = { readonly n: number; readonly hash: string; readonly body: Uint8Array };

/** Where the chain ends: whoever has an earlier head can tell whether the log still holds what it held then. */
export type AuditHead = { readonly n: number; readonly hash: string };

/** What a check found. `fault`: the first entry that does not hold, and why. */
export type AuditCheck = {
  readonly entries: number;
  readonly head: AuditHead;
  readonly fault: { readonly n: number; readonly reason: string } | null;
};

/** Entries that are kept; older ones go by so many at a time, and a sealed checkpoint takes their place. */
const [keptEntries, pruneBy] = [10_000, 500];
const maxBodyBytes = 16 * 1024;
/** Entries that are looked at in one go: commits wait meanwhile. */
const sliceEntries = 500;
const start: AuditHead = { n: 0, hash: "00".repeat(32) };

const statements = {
  insert: "INSERT INTO audit VALUES (?, ?, ?)",
  after: "SELECT n, hash, body_sealed FROM audit WHERE n > ? ORDER BY n LIMIT ?",
  before: "SELECT n, hash, body_sealed FROM audit WHERE n < ? ORDER BY n DESC LIMIT ?",
  prune: "DELETE FROM audit WHERE n <= ?",
  hashOf: "SELECT hash FROM audit WHERE n = ?",
} as const;

/**
 * The audit log in state.db: each entry is sealed under its own number, and its hash covers the one before it. So an
 * entry cannot be changed, moved or forged without the key, nor left out; that the end was cut off shows by the sealed
 * head, and that an older state.db was put back by the head that others were told.
 */
export class AuditRows {
  readonly #state: StateFile;
  readonly #keyOf: (name: string) => Uint8Array;
  readonly #sql: Readonly<Record<keyof typeof statements, Statement>>;
  readonly #key: Uint8Array;
  readonly #maxEntries: number;

  /** @param keyOf  the key of a named value of state.db */
  constructor(state: StateFile, keyOf: (name: string) => Uint8Array, maxEntries = keptEntries) {
    this.#maxEntries = maxEntries;
    this.#state = state;
    this.#keyOf = keyOf;
    this.#sql = state.prepareAll(statements);
    this.#key = keyOf("audit");
  }

  /** Durable when it returns. */
  append(body: Uint8Array): AuditHead {
    if (body.length > maxBodyBytes)
      throw new TidegateError("BUG", { detail: `an audit entry of ${body.length} bytes` });
    return this.#state.transaction(() => {
      const last = this.#last;
      const n = last.n + 1;
      const sealed = seal(body, this.#keyAt(n));
      const head = { n, hash: linkHash(last.hash, n, sealed) };
      this.#sql.insert.run(n, Buffer.from(head.hash, "hex"), sealed);
      this.#put("head", head);
      this.#prune(n);
      return head;
    });
  }

  #prune(newest: number): void {
    const floor = this.#mark("pruned")?.n ?? 0;
    if (newest - floor <= this.#maxEntries) return;
    const upTo = floor + pruneBy;
    const row = this.#sql.hashOf.get(upTo);
    this.#put("pruned", { n: upTo, hash: row?.hash instanceof Uint8Array ? hex(row.hash) : "" });
    this.#sql.prune.run(upTo);
  }

  /** The newest entry; n is 0 when there was none yet. */
  get head(): AuditHead {
    return this.#mark("head") ?? start;
  }

  /** What the next entry follows: the log goes on even where somebody has meddled with it, and `check` tells. */
  get #last(): AuditHead {
    const [row] = this.#sql.before.all(Number.MAX_SAFE_INTEGER, 1);
    const { head } = this;
    if (!row || Number(row.n) <= head.n) return head;
    return { n: Number(row.n), hash: row.hash instanceof Uint8Array ? hex(row.hash) : start.hash };
  }

  /** Entries, newest first, below `before`. Those that do not open have an empty body. */
  read(limit: number, before = Number.MAX_SAFE_INTEGER): AuditRow[] {
    return this.#sql.before.all(before, Math.min(limit, sliceEntries)).map(({ n, hash: link, body_sealed }) => ({
      n: Number(n),
      hash: link instanceof Uint8Array ? hex(link) : "",
      body: (body_sealed instanceof Uint8Array && open(body_sealed, this.#keyAt(Number(n)))) || new Uint8Array(),
    }));
  }

  /**
   * Checks one slice of the chain.
   * @param from  where the last slice ended; null: at the beginning
   * @returns where this one ended, how many entries it had, whether it was the last, and the first fault
   */
  check(from: AuditHead | null): { at: AuditHead; entries: number; isEnd: boolean; fault: AuditCheck["fault"] } {
    let at = from ?? this.#mark("pruned") ?? start;
    const rows = this.#sql.after.all(from === null ? -1 : at.n, sliceEntries);
    let entries = 0;
    for (const row of rows) {
      const [n, sealed, link] = [Number(row.n), row.body_sealed, row.hash];
      const fail = (reason: string) => ({ at, entries, isEnd: true, fault: { n, reason } });
      if (n !== at.n + 1)
        return fail(n <= at.n ? "it was pruned, and is here" : `entry ${at.n + 1} is missing before it`);
      if (!(sealed instanceof Uint8Array) || !(link instanceof Uint8Array)) return fail("it is not bytes");
      if (linkHash(at.hash, n, sealed) !== hex(link))
        return fail("its hash does not fit what it says and the entry before it");
      if (!open(sealed, this.#keyAt(n))) return fail("it was not written here");
      at = { n, hash: hex(link) };
      entries++;
    }
    if (rows.length === sliceEntries) return { at, entries, isEnd: false, fault: null };
    const { head } = this;
    const isWhole = head.n === at.n && (head.hash === at.hash || at.n === 0);
    const fault = isWhole ? null : { n: at.n + 1, reason: `the log ends at ${at.n}, and it had ${head.n} entries` };
    return { at, entries, isEnd: true, fault };
  }

  #keyAt = (n: number): Uint8Array => deriveKey(this.#key, `tidegate/audit/1/${n}`);

  #mark(name: "head" | "pruned"): AuditHead | null {
    const sealed = this.#state.get(`audit/${name}`);
    const plain = sealed && open(sealed, this.#keyOf(`audit/${name}`));
    return plain && (JSON.parse(Buffer.from(plain).toString("utf8")) as AuditHead);
  }

  #put(name: "head" | "pruned", head: AuditHead): void {
    this.#state.put(`audit/${name}`, seal(Buffer.from(JSON.stringify(head)), this.#keyOf(`audit/${name}`)));
  }
}

/** Checks the whole log through `check`, slice by slice. */
export async function checkAudit(
  check: (from: AuditHead | null) => Promise<ReturnType<AuditRows["check"]>>,
): Promise<AuditCheck> {
  let [entries, from]: [number, AuditHead | null] = [0, null];
  for (;;) {
    const slice = await check(from);
    entries += slice.entries;
    if (slice.isEnd) return { entries, head: slice.at, fault: slice.fault };
    from = slice.at;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function linkHash(before: string, n: number, sealed: Uint8Array): string {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(n));
  return hash("sha256", Buffer.concat([Buffer.from(before, "hex"), number, sealed]), "hex");
}
