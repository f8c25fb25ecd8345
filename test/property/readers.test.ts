import { expect, it } from "vitest";
import { fuzz } from "../fuzz/run.ts";
import { targets } from "../fuzz/targets.ts";

/** Reading YAML takes milliseconds; `npm run test:fuzz` has the time for more. */
const cases: Readonly<Record<string, number>> = { envelope: 3_000, cbor: 3_000, policy: 200 };
/** Of runs that found something, kept, and one more at every run. */
const seeds = [1, Date.now() % 2 ** 31];

it.each(targets.map(({ name }) => name))("whatever is sent to the reader of %s, it refuses or reads it", (name) => {
  const target = targets.find((one) => one.name === name);
  if (!target) throw new Error(name);
  for (const seed of seeds) {
    const { faults, taken } = fuzz(target, { cases: cases[name] ?? 0, seed });
    expect({ seed, faults }).toEqual({ seed, faults: [] });
    // Changes that change nothing must be among them: a reader that refuses everything shows nothing.
    expect(taken).toBeGreaterThan(0);
  }
});
