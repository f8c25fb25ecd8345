import { pino } from "pino";
import type { Log } from "../base/log.ts";
import { renderForJournal, renderForPeople } from "./log-line.ts";
import { redact, redactText } from "./redaction.ts";

export const logLevels = ["trace", "debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** `json`: one object a line. `journal`: the same, marked with its severity for journald. `people`: for a terminal. */
export type LogForm = "json" | "journal" | "people";

/** Where finished lines go; each ends with a newline. `flush` must not return before they are written. */
export type LogDestination = { write(line: string): unknown; flush?(): void };

export type LogOptions = {
  readonly level: LogLevel;
  /** Absent: standard error, written in the background. */
  readonly destination?: LogDestination;
  /** Absent: what standard error is connected to decides. */
  readonly form?: LogForm;
  readonly isColoured?: boolean;
  /** Wall clock, ms. */
  now?(): number;
};

/** The log of a process; its children share its level. */
export type ProcessLog = Log & {
  level: LogLevel;
  /** Lines that could not be written because the reader of the log stood still. */
  readonly lost: number;
  /** The newest lines, oldest first, for whoever has no access to where they went. */
  readonly recent: readonly string[];
  /** Writes what waits; call it last, before the process ends. */
  flush(): void;
};

/** When nobody reads standard error for so long that this much waits, new lines are dropped and counted. */
const maxWaitingBytes = 1 << 20;
/** Lines that are kept at hand, and what is kept of each, characters. */
const maxRecent = 400;
const maxRecentLength = 2_000;
/** Names that the line itself uses. */
const reserved = new Set(["level", "time", "event"]);

/**
 * Makes the log of this process: one line per event with `level`, `time` (ISO, UTC), `event` and the facts. Secrets are
 * hidden by name, and passwords in addresses wherever they stand.
 */
export function createLog(options: LogOptions): ProcessLog {
  const standard = options.destination === undefined ? standardError() : undefined;
  const destination = options.destination ?? standard;
  const form = options.form ?? (standard === undefined ? "json" : formOfStandardError());
  const isColoured = options.isColoured ?? (process.stderr.isTTY === true && process.env.NO_COLOR === undefined);
  const now = options.now ?? Date.now;
  const state = { rank: rankOf(options.level) };
  const recent: string[] = [];
  const root = pino(
    {
      // Our own rank decides, so that a reload changes the level of every child at once.
      level: "trace",
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: cleanFacts },
    },
    {
      write: (line: string) => {
        if (recent.push(line.trimEnd().slice(0, maxRecentLength)) > maxRecent) recent.shift();
        destination?.write(rendered(line, form, isColoured));
      },
    },
  );
  return Object.defineProperties(wrap(root, state), {
    level: {
      get: (): LogLevel => logLevels[state.rank] ?? "info",
      set: (level: LogLevel) => {
        state.rank = rankOf(level);
      },
    },
    lost: { get: () => standard?.lost ?? 0 },
    recent: { get: () => recent },
    flush: { value: () => destination?.flush?.() },
  }) as ProcessLog;
}

const rankOf = (level: LogLevel): number => logLevels.indexOf(level);

function rendered(line: string, form: LogForm, isColoured: boolean): string {
  if (form === "people") return renderForPeople(line, isColoured);
  return form === "journal" ? renderForJournal(line) : line;
}

function wrap(inner: pino.Logger, state: { rank: number }): Log {
  const method =
    (level: LogLevel) =>
    (first: object | string, event?: string): void => {
      if (rankOf(level) < state.rank) return;
      if (typeof first === "string") inner[level](redactText(first));
      else inner[level](first instanceof Error ? { error: first } : first, redactText(event ?? ""));
    };
  return {
    trace: method("trace"),
    debug: method("debug"),
    info: method("info"),
    warn: method("warn"),
    error: method("error"),
    // pino has no formatter for a child's facts: they are cleaned here.
    child: (facts) => wrap(inner.child(cleanFacts(facts)), state),
  };
}

function cleanFacts(facts: object): Record<string, unknown> {
  const clean = redact({ ...facts }) as Record<string, unknown>;
  for (const name of reserved) {
    if (!(name in clean)) continue;
    clean[`${name}_`] = clean[name];
    delete clean[name];
  }
  return clean;
}

/** systemd names the journal's stream (device:inode) that it connected; only then are marks understood. */
function formOfStandardError(): LogForm {
  if (process.stderr.isTTY) return "people";
  return process.env.JOURNAL_STREAM === undefined ? "json" : "journal";
}

function standardError(): LogDestination & { lost: number } {
  // Not synchronous: a journald or a pipe that stands still must not stop the main thread.
  const stream = pino.destination({ dest: 2, sync: false, minLength: 0, maxLength: maxWaitingBytes });
  const destination = {
    lost: 0,
    write: (line: string) => stream.write(line),
    flush: () => {
      try {
        stream.flushSync();
      } catch {
        // Nobody reads any more, or the stream never opened: there is nowhere to tell it.
      }
    },
  };
  stream.on("drop", () => destination.lost++);
  // A closed standard error (the terminal is gone) is no reason to die.
  stream.on("error", () => destination.lost++);
  return destination;
}
