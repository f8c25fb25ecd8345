import { describe, expect, it, test } from "vitest";
import { stalenessFactor } from "../../../src/federated/strategies/fedbuff.ts";
import type { Strategy } from "../../../src/federated/strategies/strategy.ts";
import { type StrategyName, startOf, strategies } from "../../../src/federated/strategies/strategy-table.ts";
import goldens from "../../support/federated/strategies.json" with { type: "json" };

const { options } = goldens;
const changes = goldens.changes.map((change) => Float32Array.from(change));
const names = Object.keys(strategies) as StrategyName[];
const start = (strategy: Strategy) => startOf(strategy, Float32Array.from(goldens.start), options);

describe.each(names)("%s", (name) => {
  const strategy: Strategy = strategies[name];

  it("goes the way that NumPy computes from its formula", () => {
    const state = start(strategy);
    for (const [round, change] of changes.entries()) {
      strategy.step(state, change, options);
      for (const [i, expected] of (goldens.weights[name][round] ?? []).entries())
        expect(state.weights[i]).toBeCloseTo(expected, 5);
    }
  });

  it("goes on after a restart as if there had been none, to the byte", () => {
    const state = start(strategy);
    let kept = start(strategy);
    for (const change of changes) {
      strategy.step(state, change, options);
      strategy.step(kept, change, options);
      // What a store has: the bytes of each vector.
      const bytes = [kept.weights, ...kept.slots].map((vector) => new Uint8Array(vector.slice().buffer));
      const [weights = new Float32Array(), ...slots] = bytes.map(({ buffer }) => new Float32Array(buffer.slice(0)));
      kept = { weights, slots };
    }
    expect(kept).toEqual(state);
  });

  it("keeps as many vectors as it says", () => {
    const count = { fedavgm: 1, fedadagrad: 2, fedadam: 2, fedyogi: 2 } as Partial<Record<StrategyName, number>>;
    expect(start(strategy).slots.length).toBe(count[name] ?? 0);
  });
});

test("an old update counts less, one that is too old not at all", () => {
  expect(stalenessFactor(0, 4)).toBe(1);
  expect(stalenessFactor(3, 4)).toBe(0.5);
  expect(stalenessFactor(4, 4)).toBeCloseTo(0.4472, 4);
  expect(stalenessFactor(5, 4)).toBeNull();
});
