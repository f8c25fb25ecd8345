/** Guesses the next whole number of each series from those before it. What it learns must not depend on the machine. */
export type Guess = {
  next(series: number): number;
  learn(series: number, value: number): void;
};

/** The last number of the series; of a series that is new, the last of any. */
class LastGuess implements Guess {
  readonly #last: number[] = [];
  #newest = 0;

  next(series: number): number {
    return this.#last[series] ?? this.#newest;
  }

  learn(series: number, value: number): void {
    this.#last[series] = value;
    this.#newest = value;
  }
}

/** The last number plus the last step: a clock that keeps time. */
class StepGuess implements Guess {
  readonly #last = new LastGuess();
  readonly #steps: number[] = [];

  next(series: number): number {
    return this.#last.next(series) + (this.#steps[series] ?? 0);
  }

  learn(series: number, value: number): void {
    // A first number is no step: it would throw the second guess as far off as the first.
    const isKnown = this.#steps[series] !== undefined;
    this.#steps[series] = isKnown ? value - this.#last.next(series) : 0;
    this.#last.learn(series, value);
  }
}

/** Numbers that a line follows before older ones fade. */
const memory = 64;
/** A miss this many times the usual one is a gap: the line goes on behind it. */
const gap = 8;

type Line = { level: number; step: number; seen: number; usualMiss: number };

/**
 * A line through the last numbers by least squares: times that waver around a steady beat, of which the last step says
 * little.
 * @see Brookner 1998, "Tracking and Kalman Filtering Made Easy", 1.2: expanding-memory filter
 */
class LineGuess implements Guess {
  readonly #lines: Line[] = [];
  #newest = 0;

  next(series: number): number {
    const line = this.#lines[series];
    return line ? Math.round(line.level + line.step) : this.#newest;
  }

  learn(series: number, value: number): void {
    this.#newest = value;
    const line = this.#lines[series];
    if (!line) {
      this.#lines[series] = { level: value, step: 0, seen: 1, usualMiss: 0 };
      return;
    }
    const n = Math.min(line.seen + 1, memory);
    const miss = value - (line.level + line.step);
    const size = Math.abs(miss);
    line.seen = n;
    line.level += line.step + (miss * 2 * (2 * n - 1)) / (n * (n + 1));
    if (n > 3 && size > gap * (line.usualMiss + 1)) line.level = value;
    else line.step += (miss * 6) / (n * (n + 1));
    // The second number makes the step, whatever it is.
    if (n > 2) line.usualMiss += (size - line.usualMiss) / Math.min(n - 2, 16);
  }
}

/** Ways to guess, in the order of the numbers that stand for them on disk. */
export const guessNames = ["last", "step", "line"] as const;
export type GuessName = (typeof guessNames)[number];
export const guesses: Readonly<Record<GuessName, () => Guess>> = {
  last: () => new LastGuess(),
  step: () => new StepGuess(),
  line: () => new LineGuess(),
};
