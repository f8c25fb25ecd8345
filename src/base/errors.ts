import { errorTable } from "./error-table.ts";

/**
 * What happens after an error of this kind.
 *
 * | kind    | response                                             |
 * | ------- | ---------------------------------------------------- |
 * | config  | list every fault, leave with the error's exit code   |
 * | retry   | jittered backoff, metric, health degraded            |
 * | reject  | dead letter and counter: a peer sent bad data        |
 * | deny    | audit record, no detail to the sender                |
 * | corrupt | quarantine, keep running                             |
 * | shed    | apply the drop policy, count what was dropped        |
 * | bug     | log with cause, exit 70, the unit restarts           |
 */
export type ErrorKind = "config" | "retry" | "reject" | "deny" | "corrupt" | "shed" | "bug";

export type ErrorDefinition = { kind: ErrorKind; exit: number; message: string; help: string };

export type ErrorCode = keyof typeof errorTable;

/** Facts of one occurrence: they fill the message and are logged and printed with `--json`. Never a secret. */
export type ErrorFacts = Record<string, unknown>;

/** Exit codes that scripts rely on, from `sysexits.h`. */
export const exitCodes = {
  ok: 0,
  no: 1,
  usage: 64,
  badData: 65,
  unavailable: 69,
  internal: 70,
  io: 74,
  tryAgain: 75,
  secret: 77,
  config: 78,
} as const;

const fill = (template: string, facts: ErrorFacts): string =>
  template.replace(/\{(\w+)\}/g, (whole, name: string) => (name in facts ? String(facts[name]) : whole));

/** An error that names the fault (code), the facts and the cause; the table says what happens next. */
export class TidegateError extends Error {
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, facts: ErrorFacts = {}, options?: { cause?: unknown }) {
    super(fill(errorTable[code].message, facts), options);
    this.name = "TidegateError";
    this.code = code;
    this.facts = facts;
  }

  get kind(): ErrorKind {
    return errorTable[this.code].kind;
  }

  get exit(): number {
    return errorTable[this.code].exit;
  }

  get help(): string {
    return fill(errorTable[this.code].help, this.facts);
  }

  /** The form that a failed command prints with `--json`, and that crosses process borders. */
  toJSON(): { code: ErrorCode; message: string; help: string } & ErrorFacts {
    return { ...this.facts, code: this.code, message: this.message, help: this.help };
  }

  /** Rebuilds an error that crossed a process border as JSON. */
  static from(json: { code: string; message?: string } & ErrorFacts): TidegateError {
    const { code, message, help: _help, ...facts } = json;
    if (code in errorTable) return new TidegateError(code as ErrorCode, facts);
    return new TidegateError("BUG", { detail: message ?? code, ...facts });
  }
}

/** Text of anything that was thrown, for messages and logs. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
