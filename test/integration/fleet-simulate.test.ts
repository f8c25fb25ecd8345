import { describe, expect, it } from "vitest";
import { noMisconduct } from "../../src/commands/simulation/misconduct.ts";
import { type SimulationOptions, simulateFleet } from "../../src/commands/simulation/simulation.ts";

const simulate = (differing: Partial<SimulationOptions> = {}) =>
  simulateFleet({
    ...{ gateways: 20, rounds: 3, parameters: 500, processes: 2, seed: 1, broker: undefined },
    misconduct: noMisconduct,
    model: model({}),
    signal: new AbortController().signal,
    ...differing,
  });

const model = (differing: object) => ({
  ...{ strategy: "fedavg", deadline: "3s", training: { epochs: 1, learningRate: 0.5 } },
  quorum: { min: 10, target: 20, overSelection: 1 },
  ...differing,
});

describe("a simulated fleet", () => {
  it("comes nearer to the known answer by the step that every gateway takes, over real messages", {
    timeout: 60_000,
  }, async () => {
    const { rounds, ends, updates, refused } = await simulate();
    expect(rounds.map(({ accepted }) => accepted)).toEqual([20, 20, 20]);
    expect(ends).toMatchObject({ accepted: 60 });
    expect(updates).toEqual({ accepted: 60, duplicates: 0, unopened: 0 });
    expect(refused).toEqual({});
    // Half of the way in each round; what is left in the end is how unlike the gateways are.
    expect(rounds[0]?.distance).toBeLessThan(0.6);
    expect(rounds[2]?.distance).toBeLessThan(0.25);
  });

  it("counts nobody twice and loses nothing to what is sent twice, broken or never", { timeout: 60_000 }, async () => {
    const { rounds, updates } = await simulate({
      misconduct: { ...noMisconduct, dropOut: 0.1, duplicate: 0.5, corrupt: 0.1 },
    });
    for (const { accepted } of rounds) {
      expect(accepted).toBeGreaterThanOrEqual(10);
      // Two gateways of twenty are never understood.
      expect(accepted).toBeLessThanOrEqual(18);
    }
    expect(updates.accepted).toBe(rounds.reduce((sum, { accepted }) => sum + accepted, 0));
    expect(updates.duplicates).toBeGreaterThan(0);
    expect(updates.unopened).toBeGreaterThan(0);
  });

  it("is led astray by a fifth that lies, and not when the median is taken", { timeout: 60_000 }, async () => {
    const misconduct = { ...noMisconduct, malicious: 0.2, factor: -10 };
    const mean = await simulate({ misconduct });
    const median = await simulate({ misconduct, model: model({ rule: "median" }) });
    expect(mean.rounds.at(-1)?.distance).toBeGreaterThan(1);
    expect(median.rounds.at(-1)?.distance).toBeLessThan(0.6);
  });
});
