import { describe, expect, it } from "vitest";
import { isInShare } from "../../../src/control/model-manifest.ts";
import {
  type ModelReport,
  nextOf,
  type Rollout,
  rolloutRuleSchema,
  seedOf,
  tallyOf,
} from "../../../src/coordinator/rollout-plan.ts";

const hash = "a".repeat(64);
const rollout = (more: Partial<Rollout> = {}): Rollout => ({
  model: "m",
  hash,
  version: 2,
  rule: rolloutRuleSchema.parse({ stages: [0.1, 1], wait: 1_000, minReports: 2 }),
  state: "running",
  stage: 0,
  reason: "",
  startedAt: 0,
  ...more,
});
const fleet = Array.from({ length: 200 }, (_, at) => `gw-${at}`);
const canaries = fleet.filter((gateway) => isInShare(gateway, { share: 0.1, seed: seedOf(rollout()) }));
/** Every canary in a state, the others as they were. */
const reports = (states: (at: number) => string) =>
  new Map<string, ModelReport | null>(
    fleet.map((gateway) => {
      const at = canaries.indexOf(gateway);
      return [gateway, at < 0 ? null : { hash, state: states(at), reason: "too slow" }];
    }),
  );
const later = (stageMs: number, states: (at: number) => string, from = rollout()) =>
  nextOf(from, tallyOf(from, reports(states)), stageMs);

describe("a staged rollout", () => {
  it("waits for its canaries, and for the time of the stage", () => {
    expect(later(5_000, () => "trying").stage).toBe(0);
    expect(later(500, () => "active").stage).toBe(0);
    expect(later(1_000, () => "active")).toMatchObject({ stage: 1, state: "running" });
  });

  it("goes on when half of the canaries run it: some are off for the night", () => {
    expect(later(1_000, (at) => (at % 2 === 0 ? "active" : "waiting")).stage).toBe(1);
    expect(later(1_000, (at) => (at < 2 ? "active" : "waiting")).stage).toBe(0);
  });

  it("is halted by itself when canaries roll it back, and says what the first one said", () => {
    const halted = later(0, (at) => (at < 3 ? "rolled-back" : "active"));
    expect(halted.state).toBe("halted");
    expect(halted.reason).toMatch(/3 of \d+ gateways .*: too slow/);
    expect(
      nextOf(
        halted,
        tallyOf(
          halted,
          reports(() => "active"),
        ),
        10_000,
      ),
    ).toBe(halted);
  });

  it("is not halted by the one gateway in ten that it may lose", () => {
    expect(later(1_000, (at) => (at === 0 ? "refused" : "active")).state).toBe("running");
  });

  it("is done when the last stage has stood its time", () => {
    const last = rollout({ stage: 1 });
    const all = new Map(fleet.map((gateway) => [gateway, { hash, state: "active", reason: "" }]));
    expect(nextOf(last, tallyOf(last, all), 999).state).toBe("running");
    expect(nextOf(last, tallyOf(last, all), 1_000).state).toBe("done");
  });

  it("counts reports of other releases for nothing", () => {
    const others = new Map(fleet.map((gateway) => [gateway, { hash: "b".repeat(64), state: "active", reason: "" }]));
    expect(tallyOf(rollout(), others)).toMatchObject({ active: 0, failed: 0, underWay: 0 });
  });
});
