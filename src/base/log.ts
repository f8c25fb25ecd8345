type LogMethod = { (facts: object, event: string): void; (event: string): void };

/** What components need of a logger; pino's fits. One line per event, facts beside it, never a secret or a payload. */
export type Log = {
  trace: LogMethod;
  debug: LogMethod;
  info: LogMethod;
  warn: LogMethod;
  error: LogMethod;
  child(facts: object): Log;
};

const nothing = () => {};

/** A log that keeps nothing, for tests and one-shot commands. */
export const silentLog: Log = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLog,
};
