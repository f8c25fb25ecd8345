import { expect, it } from "vitest";
import { fuzz } from "../fuzz/run.ts";
import { targets } from "../fuzz/targets.ts";

const cases = Number(process.env.FUZZ_CASES ?? 3_000);
/** Of runs that found something, kept, and one more at every run. */
const seeds = [1, Date.now() % 2 ** 31];

it.each(targets.map(({ name }) => name))("whatever is sent to the reader of %s, it refuses or reads it", (name) => {
  const target = targets.find((one) => one.name === name);
  if (!target) throw new Error(name);
  for (const seed of seeds) {
    const { faults, taken } = fuzz(target, { cases, seed });
    expect({ seed, faults }).toEqual({ seed, faults: [] });
    // Changes that change nothing must be among them: a reader that refuses everything shows nothing.
    expect(taken).toBeGreaterThan(0);
  }
});
