import { seededRandom } from "../../src/base/random.ts";
import { makeCase, type Target } from "./targets.ts";

export type FuzzReport = {
  readonly target: string;
  readonly seed: number;
  readonly cases: number;
  readonly taken: number;
  readonly slowestMs: number;
  /** Cases that crashed the reader, were taken for what they are not, or took too long. */
  readonly faults: readonly { readonly number: number; readonly reason: string; readonly input: string }[];
};

/** Longer than any reader may take for one input of this size, on a busy machine. */
const maxMs = 2_000;

/** Runs cases of one target; case `n` of a seed is always the same, whichever is run first. */
export function fuzz(
  target: Target,
  { cases, seed, from = 0 }: { cases: number; seed: number; from?: number },
): FuzzReport {
  let [taken, slowestMs] = [0, 0];
  const faults: { number: number; reason: string; input: string }[] = [];
  for (let number = from; number < from + cases && faults.length < 20; number++) {
    const input = makeCase(target.seeds, seededRandom((seed * 1_000_003 + number) >>> 0));
    const fault = (reason: string) => faults.push({ number, reason, input: Buffer.from(input).toString("base64") });
    const start = performance.now();
    try {
      if (target.read(input)) taken++;
    } catch (thrown) {
      fault(thrown instanceof Error ? thrown.message : String(thrown));
    }
    const took = performance.now() - start;
    slowestMs = Math.max(slowestMs, took);
    if (took > maxMs) fault(`it took ${Math.round(took)} ms`);
  }
  return { target: target.name, seed, cases, taken, slowestMs, faults };
}
