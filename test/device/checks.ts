import { reasonOf } from "../../src/base/errors.ts";

type Row = { readonly what: string; readonly fact: string; readonly isPassed: boolean };

/** What was looked at, and what it showed. */
export class Checks {
  readonly #rows: Row[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** @param look  returns the fact that was seen, in one line; throws when it is not as it should be */
  async check(what: string, look: () => Promise<string>): Promise<void> {
    const begin = performance.now();
    try {
      this.#add({ what, fact: await look(), isPassed: true }, begin);
    } catch (thrown) {
      this.#add({ what, fact: reasonOf(thrown), isPassed: false }, begin);
    }
  }

  #add(row: Row, begin: number): void {
    this.#rows.push(row);
    const seconds = Math.round((performance.now() - begin) / 1_000);
    this.#say(`${row.isPassed ? "ok    " : "FAILED"} ${row.what} (${seconds} s): ${row.fact}`);
  }

  get passed(): number {
    return this.#rows.filter(({ isPassed }) => isPassed).length;
  }

  get failed(): number {
    return this.#rows.length - this.passed;
  }

  /** The rows as a table for a document. */
  get table(): string {
    const line = ({ what, fact, isPassed }: Row) =>
      `| ${what} | ${isPassed ? "" : "FAILED: "}${fact.replaceAll("\n", " ").replaceAll("|", "\\|")} |`;
    return ["| what | what was seen |", "| --- | --- |", ...this.#rows.map(line)].join("\n");
  }
}

/** @throws when a claim does not hold */
export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}
