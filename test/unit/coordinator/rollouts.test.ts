import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { rolloutRuleSchema } from "../../../src/coordinator/rollout-plan.ts";
import type { KeptRollout, RolloutStore } from "../../../src/coordinator/rollouts.ts";
import { Rollouts } from "../../../src/coordinator/rollouts.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { fleetTopics } from "../../../src/wire/topics.ts";

const release = "a".repeat(64);
const kept: KeptRollout = {
  rollout: {
    ...{ model: "m", hash: release, version: 2, state: "running", stage: 0, reason: "", startedAt: 0 },
    rule: rolloutRuleSchema.parse({ stages: [1] }),
  },
  release: { version: 2, hash: release, parent: null, files: [] },
  ...{ requires: {}, metrics: {}, manifest: 1 },
};

async function leading(): Promise<Rollouts> {
  const store: RolloutStore = { rollouts: async () => [kept], putRollout: async () => {} };
  const rollouts = new Rollouts({
    ...{ fleet: "demo", topics: fleetTopics("demo"), store, signer: ephemeralKeyRing().signer, epoch: () => 1 },
    publish: async () => ({ reason: 0 }),
    ...{ clock: new FakeClock(), log: silentLog },
  });
  await rollouts.load();
  return rollouts;
}

describe("what gateways report of a release", () => {
  it("counts by the newest word of each, and no longer when it says nothing of the model any more", async () => {
    const rollouts = await leading();
    rollouts.heard("gw-1", { models: { m: { hash: release, state: "active" } } });
    expect(rollouts.state[0]?.tally).toMatchObject({ inStage: 1, active: 1 });
    rollouts.heard("gw-1", { models: {} });
    expect(rollouts.state[0]?.tally).toMatchObject({ inStage: 1, active: 0 });
    rollouts.forget("gw-1");
    expect(rollouts.state[0]?.tally).toMatchObject({ inStage: 0 });
  });

  it.each([
    [null],
    ["online"],
    [{ models: null }],
    [{ models: "m" }],
    [{ models: { m: null, n: 3, o: { hash: 1, state: [] } } }],
    [{ models: { m: { hash: release, state: "x".repeat(100_000) } } }],
  ])("is passed over where it is none: %j", async (status) => {
    const rollouts = await leading();
    rollouts.heard("gw-1", status);
    expect(rollouts.state[0]?.tally).toMatchObject({ inStage: 1, active: 0, failed: 0 });
  });
});
