import type { Io } from "../verb.ts";

/** A block of lines on standard error that is drawn over itself. Off a terminal: one line now and then. */
export class LiveLines {
  readonly #io: Io;
  readonly #plainEveryMs: number;
  #drawn = 0;
  #lastPlain = Number.NEGATIVE_INFINITY;

  constructor(io: Io, plainEveryMs = 5_000) {
    this.#io = io;
    this.#plainEveryMs = plainEveryMs;
  }

  /** Shows `lines`; where nothing can be redrawn, `plain` every few seconds instead. */
  show(lines: readonly string[], plain: string): void {
    if (!this.#io.interactive) {
      const now = performance.now();
      if (now - this.#lastPlain < this.#plainEveryMs) return;
      this.#lastPlain = now;
      this.#io.err(plain);
      return;
    }
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    // Clear to the end of each line, so that a shorter text leaves nothing of the longer one before it.
    const body = lines.map((line) => `${line.slice(0, this.#io.columns - 1)}\x1b[K\n`).join("");
    // And below the last line, for the same reason.
    this.#io.draw(`${up}${body}\x1b[J`);
    this.#drawn = lines.length;
  }

  /** Leaves what is shown where it is; the next `show` starts below. */
  settle(): void {
    this.#drawn = 0;
  }
}
