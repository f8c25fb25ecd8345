import fc from "fast-check";
import type { Result } from "../../src/base/result.ts";

/** When a life ends: ms after its start, or after the tick at which merge and checkpoint begin. */
export const killPoint = fc.oneof(
  fc.record({ after: fc.constant("start" as const), ms: fc.integer({ min: 0, max: 2_500 }) }),
  fc.record({ after: fc.constant("tick" as const), ms: fc.integer({ min: 0, max: 100 }) }),
);

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The full second at which schedules of `* * * * * *` run. */
export const nextTick = () => sleep(1_000 - (Date.now() % 1_000));

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Ascending numbers as runs: `5-9`. */
export function runsOf(numbers: readonly number[]): string[] {
  const runs: [from: number, to: number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last && n === last[1] + 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => `${from}-${to}`);
}

/** What subscribers were told, by number of the reading. */
export class Told {
  readonly ids = new Map<number, string>();
  readonly #scores = new Map<number, number | null>();
  count = 0;
  readonly contradictions: string[] = [];

  take(n: number, { id, score }: Result): void {
    this.count++;
    const known = this.ids.get(n);
    if (known !== undefined && known !== id) this.contradictions.push(`reading ${n}: ${known} and ${id}`);
    const before = this.#scores.get(n);
    // The same window in another batch differs in its last digits; another window differs by far more.
    if (before !== undefined && Math.abs((before ?? 0) - (score ?? 0)) > 1e-4)
      this.contradictions.push(`reading ${n}: ${before} and ${score}`);
    this.ids.set(n, id);
    this.#scores.set(n, score);
  }

  /** Waits until so many readings have their results, or nothing new has come for a while. */
  async untilQuiet(count: number): Promise<void> {
    let known = this.ids.size;
    for (let quietMs = 0; this.ids.size < count && quietMs < 30_000; quietMs += 100) {
      if (this.ids.size > known) quietMs = 0;
      known = this.ids.size;
      await sleep(100);
    }
  }
}
