/** What is written down of a decision. Never a secret, never a reading. */
export type AuditEntry = {
  /** `document` (a signed one came), `command`, `config`, `model`, `export`, `erase`, `policy`, `site` (somebody here). */
  readonly what: string;
  readonly outcome: "accepted" | "refused" | "done" | "failed";
  /** Kind of the document or name of the command. */
  readonly name: string;
  /** Principals who signed, or `site`. */
  readonly by: readonly string[];
  /** A stable word for why, when it was refused or failed. */
  readonly reason?: string;
  readonly resource?: Readonly<Record<string, string | undefined>>;
  /** Version, hash, counts … of what was decided about. */
  readonly detail?: Readonly<Record<string, unknown>>;
};

/** Where decisions are written down; resolves when they are durable. */
export type Audit = { append(entry: AuditEntry): Promise<void> };

/** Where the entries go: `Journal.auditAppend` chains and seals them in state.db. */
export type AuditRows = { auditAppend(body: Uint8Array): Promise<unknown> };

export type AuditLogOptions = {
  readonly rows: AuditRows;
  readonly clock: { now(): number; monotonic(): number };
};

/** Refusals that are written down at once, and how long it takes until one more may be. */
const [maxBurst, refillMs] = [32, 60_000];

/**
 * Writes decisions down. Whoever can reach a topic can be refused as often as they like: of refusals no more than a
 * few are kept, the others counted, so that nobody can wash the log out.
 */
export class AuditLog implements Audit {
  readonly #options: AuditLogOptions;
  #room = maxBurst;
  #filledAt: number | undefined;
  #untold = 0;

  constructor(options: AuditLogOptions) {
    this.#options = options;
  }

  async append(entry: AuditEntry): Promise<void> {
    const { rows, clock } = this.#options;
    if (entry.outcome === "refused" && !this.#takeRoom(clock.monotonic())) {
      this.#untold++;
      return;
    }
    const more = this.#untold > 0 ? { refusalsNotTold: this.#untold } : {};
    this.#untold = 0;
    await rows.auditAppend(Buffer.from(JSON.stringify({ at: clock.now(), ...entry, ...more })));
  }

  #takeRoom(now: number): boolean {
    const filledAt = this.#filledAt ?? now;
    const grown = Math.floor((now - filledAt) / refillMs);
    this.#room = Math.min(maxBurst, this.#room + grown);
    this.#filledAt = filledAt + grown * refillMs;
    if (this.#room === 0) return false;
    this.#room--;
    return true;
  }
}
