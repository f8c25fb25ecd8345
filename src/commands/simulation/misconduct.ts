import { seededRandom, shuffle } from "../../base/random.ts";

/** What goes wrong in a simulated fleet. Shares are fixed parts of the population, drawn once, but for `dropOut`. */
export type Misconduct = {
  /** Share of the gateways that vanish in a round, others in each. */
  readonly dropOut: number;
  /** Share that takes `slowMs` longer. */
  readonly slow: number;
  readonly slowMs: number;
  /** Share that sends every part twice. */
  readonly duplicate: number;
  /** Share whose parts arrive with a flipped bit. */
  readonly corrupt: number;
  /** Share that sends `factor` times what it learned. */
  readonly malicious: number;
  readonly factor: number;
};

export const noMisconduct: Misconduct = {
  ...{ dropOut: 0, slow: 0, slowMs: 10_000, duplicate: 0, corrupt: 0, malicious: 0, factor: -10 },
};

/** How one gateway of the population behaves, in every round. */
export type Traits = {
  readonly delayMs: number;
  readonly isDuplicating: boolean;
  readonly isCorrupt: boolean;
  /** What it multiplies its change by. */
  readonly factor: number;
  readonly dropOut: number;
};

/** Traits by number of the gateway; the same for the same seed, however the gateways are spread over processes. */
export function traitsOf(gateways: number, seed: number, plan: Misconduct): Traits[] {
  const drawn = (share: number, purpose: number): Set<number> => {
    const order = Array.from({ length: gateways }, (_, i) => i);
    shuffle(order, seededRandom(31 * seed + purpose));
    return new Set(order.slice(0, Math.round(share * gateways)));
  };
  const slow = drawn(plan.slow, 1);
  const duplicate = drawn(plan.duplicate, 2);
  const corrupt = drawn(plan.corrupt, 3);
  const malicious = drawn(plan.malicious, 4);
  return Array.from({ length: gateways }, (_, i) => ({
    delayMs: slow.has(i) ? plan.slowMs : 0,
    isDuplicating: duplicate.has(i),
    isCorrupt: corrupt.has(i),
    factor: malicious.has(i) ? plan.factor : 1,
    dropOut: plan.dropOut,
  }));
}
