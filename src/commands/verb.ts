import type { Command } from "commander";

/** Where a verb reads and writes: the process's own streams, or a test's. */
export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** True when standard output is a terminal that can be redrawn. */
  readonly interactive: boolean;
  readonly columns: number;
  /** One line on standard output: what a script reads. */
  out(line: string): void;
  /** One line on standard error: what a person reads. */
  err(line: string): void;
  /** Text on standard error as it is, for bars that redraw themselves. */
  draw(text: string): void;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
};

/** A verb's options and actions. An action returns the exit code; nothing means 0. */
export type Define = (command: Command, io: Io) => void;

/** One line of the table of verbs; its file is loaded when it is asked for. */
export type Verb = {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ define: Define }>;
};

/** `--config FILE`, as every verb has it. */
export const configOption = [
  "--config <file>",
  "configuration file (default: ./tidegate.yaml, else /etc/tidegate/tidegate.yaml)",
] as const;

/** `--json`, where a verb prints. */
export const jsonOption = ["--json", "print JSON; the last line of standard output is the answer"] as const;

/** Sets the exit code that the process leaves with once the verb is done. */
export function answer(code: number): void {
  process.exitCode = code;
}

/** Parses a number that an option takes; the fault names the option. */
export function numberOption(name: string, { min = 0, max = Number.MAX_SAFE_INTEGER, integer = false } = {}) {
  return (text: string): number => {
    const value = Number(text);
    if (
      text.trim() === "" ||
      !Number.isFinite(value) ||
      value < min ||
      value > max ||
      (integer && !Number.isInteger(value))
    ) {
      throw new OptionFault(name, text, `a ${integer ? "whole " : ""}number of at least ${min}`);
    }
    return value;
  };
}

/** What a parser of an option throws; `main` turns it into USAGE. */
export class OptionFault extends Error {
  constructor(option: string, given: string, expected: string) {
    super(`${option} takes ${expected}, not "${given}"`);
  }
}
