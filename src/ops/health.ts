import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";

/**
 * What depends on a part.
 *
 * | need       | until it is ready | fails        | makes no progress for `stallMs`        |
 * | ---------- | ----------------- | ------------ | -------------------------------------- |
 * | `vital`    | not ready         | not healthy  | not healthy, and the watchdog is hungry |
 * | `required` | not ready         | not healthy  | not healthy                            |
 * | `optional` | nothing           | degraded     | degraded                               |
 */
export type PartNeed = "vital" | "required" | "optional";

export type PartRule = {
  readonly name: string;
  readonly need: PartNeed;
  /** Owed work that takes longer than this is told as degraded, ms. Absent: never. */
  readonly slowMs?: number;
  /** Owed work that takes longer than this is a stall, ms. Absent: never. */
  readonly stallMs?: number;
};

export type PartState = "starting" | "ok" | "degraded" | "stalled" | "failed";

/** What is known of a part; times are monotonic ms. */
export type PartFacts = PartRule & {
  readonly isReady: boolean;
  readonly failure: string | null;
  readonly trouble: string | null;
  /** Since when work has been owed without any progress; null when none is owed. */
  readonly owedSince: number | null;
  readonly lastProgress: number | null;
};

export type PartJudgement = { readonly state: PartState; readonly reason: string | null };

export type HealthStatus = "starting" | "ok" | "degraded" | "failed";

/** What `/healthz` answers. `isHealthy` false is a 503. */
export type HealthDocument = {
  readonly status: HealthStatus;
  readonly isHealthy: boolean;
  readonly uptimeMs: number;
  readonly parts: Readonly<
    Record<
      string,
      { state: PartState; need: PartNeed; reason?: string; forMs: number; lastProgressMs?: number /* ago */ }
    >
  >;
};

export type HealthChange = { readonly part: string; readonly from: PartState } & PartJudgement;

/** The state of one part at a moment (monotonic ms): a pure decision. */
export function judgePart(part: PartFacts, now: number): PartJudgement {
  if (part.failure !== null) return { state: "failed", reason: part.failure };
  const owedMs = part.owedSince === null ? 0 : now - part.owedSince;
  const silence = `no progress for ${Math.round(owedMs / 1000)} s`;
  if (part.stallMs !== undefined && owedMs > part.stallMs) return { state: "stalled", reason: silence };
  // Nobody waits for an optional part: a broker that is away from the start on is told as such.
  const isAwaited = !part.isReady && !(part.need === "optional" && part.trouble !== null);
  if (isAwaited) return { state: "starting", reason: part.trouble };
  if (part.trouble !== null) return { state: "degraded", reason: part.trouble };
  if (part.slowMs !== undefined && owedMs > part.slowMs) return { state: "degraded", reason: silence };
  return { state: "ok", reason: null };
}

/** The state of the whole from that of its parts: an optional part can degrade it, never fail it. */
export function judgeAll(parts: readonly { need: PartNeed; state: PartState }[]): HealthStatus {
  const needed = parts.filter((part) => part.need !== "optional").map((part) => part.state);
  if (needed.some((state) => state === "failed" || state === "stalled")) return "failed";
  if (needed.includes("starting")) return "starting";
  const isFlawless = parts.every(({ state, need }) => state === "ok" || (need === "optional" && state === "starting"));
  return isFlawless ? "ok" : "degraded";
}

/** Whether the watchdog may be petted: no part that the daemon lives by has stalled or given up. */
export const judgeAlive = (parts: readonly { need: PartNeed; state: PartState }[]): boolean =>
  parts.every(({ need, state }) => need !== "vital" || (state !== "stalled" && state !== "failed"));

type Part = { -readonly [K in keyof PartFacts]: PartFacts[K] } & {
  state: PartState;
  since: number;
  /** Since when each kind of work is owed, oldest first. */
  readonly owed: Map<string, number>;
};

export type HealthOptions = {
  readonly clock: Clock;
  readonly parts: readonly PartRule[];
  onChange?(change: HealthChange): void;
};

/**
 * Keeps what the parts of the daemon prove of themselves. Progress is told, never assumed: `expect` says that work is
 * owed, `progress` that some of it was done; a part that owes nothing is well.
 */
export class Health {
  readonly #clock: Clock;
  readonly #parts = new Map<string, Part>();
  readonly #onChange: (change: HealthChange) => void;
  readonly #bornAt: number;

  constructor({ clock, parts, onChange }: HealthOptions) {
    this.#clock = clock;
    this.#onChange = onChange ?? (() => {});
    this.#bornAt = clock.monotonic();
    for (const rule of parts) this.add(rule);
  }

  add(rule: PartRule): void {
    const fresh = { isReady: false, failure: null, trouble: null, owedSince: null, lastProgress: null };
    const since = this.#clock.monotonic();
    this.#parts.set(rule.name, { ...rule, ...fresh, state: "starting", since, owed: new Map() });
  }

  remove(name: string): void {
    this.#parts.delete(name);
  }

  /** The part is up for the first time, or again: what was wrong with it is over. */
  ready(name: string): void {
    const part = this.#part(name);
    part.isReady = true;
    part.failure = null;
    part.trouble = null;
    this.#settle(part);
  }

  /** Work of a kind is owed from now on; told twice, the first time counts. */
  expect(name: string, work = ""): void {
    const part = this.#part(name);
    if (part.owed.has(work)) return;
    const now = this.#clock.monotonic();
    part.owed.set(work, now);
    part.owedSince ??= now;
  }

  /**
   * Owed work of a kind was done; what is still owed is told by `expect` anew. A sign of life does not excuse work that
   * is not done: kinds are kept apart. Cheap: fit for every commit and batch.
   */
  progress(name: string, work = ""): void {
    const part = this.#part(name);
    part.lastProgress = this.#clock.monotonic();
    // Kinds are kept in the order in which they became owed.
    if (part.owed.delete(work)) part.owedSince = part.owed.values().next().value ?? null;
    if (part.state === "stalled" || (part.state === "degraded" && part.trouble === null)) this.#settle(part);
  }

  /** The part works, but worse than it should; `ready` ends that. */
  degrade(name: string, reason: string): void {
    const part = this.#part(name);
    part.trouble = reason;
    this.#settle(part);
  }

  /** The part has given up; `ready` ends that. */
  fail(name: string, reason: string): void {
    const part = this.#part(name);
    part.failure = reason;
    this.#settle(part);
  }

  /** Looks for parts that time has made slow or stalled; call it at every beat. */
  check(): void {
    for (const part of this.#parts.values()) this.#settle(part);
  }

  stateOf(name: string): PartJudgement {
    return judgePart(this.#part(name), this.#clock.monotonic());
  }

  get isAlive(): boolean {
    return judgeAlive(this.#judged());
  }

  get document(): HealthDocument {
    const now = this.#clock.monotonic();
    this.check();
    const status = judgeAll(this.#judged());
    const parts: HealthDocument["parts"] = Object.fromEntries(
      [...this.#parts.values()].map((part) => {
        const { state, reason } = judgePart(part, now);
        return [
          part.name,
          {
            state,
            need: part.need,
            ...(reason === null ? {} : { reason }),
            forMs: Math.round(now - part.since),
            ...(part.lastProgress === null ? {} : { lastProgressMs: Math.round(now - part.lastProgress) }),
          },
        ];
      }),
    );
    const isHealthy = status === "ok" || status === "degraded";
    return { status, isHealthy, uptimeMs: Math.round(now - this.#bornAt), parts };
  }

  /** One line for people: what is wrong, or "ok". */
  get summary(): string {
    const { status, parts } = this.document;
    const wrong = Object.entries(parts)
      .filter(([, { state, need }]) => state !== "ok" && !(state === "starting" && need === "optional"))
      .map(([name, { state, reason }]) => `${name} ${state}${reason === undefined ? "" : ` (${reason})`}`);
    return wrong.length === 0 ? status : `${status}: ${wrong.join(", ")}`;
  }

  #judged(): { need: PartNeed; state: PartState }[] {
    const now = this.#clock.monotonic();
    return [...this.#parts.values()].map((part) => ({ need: part.need, state: judgePart(part, now).state }));
  }

  #part(name: string): Part {
    const part = this.#parts.get(name);
    if (part === undefined) throw new TidegateError("BUG", { detail: `no part of the daemon is called ${name}` });
    return part;
  }

  #settle(part: Part): void {
    const now = this.#clock.monotonic();
    const { state, reason } = judgePart(part, now);
    if (state === part.state) return;
    const from = part.state;
    part.state = state;
    part.since = now;
    this.#onChange({ part: part.name, from, state, reason });
  }
}
