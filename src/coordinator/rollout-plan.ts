import * as z from "zod";
import { isInShare } from "../control/model-manifest.ts";

/** How a release goes out to a fleet. */
export const rolloutRuleSchema = z.strictObject({
  stages: z
    .array(z.number().positive().max(1))
    .min(1)
    .max(16)
    .default([0.1, 0.5, 1])
    .describe("Share of the fleet in each stage; the first is the canary"),
  wait: z.int().nonnegative().default(600_000).describe("Shortest time of a stage, ms"),
  minReports: z.int().positive().default(1).describe("Gateways that must run it before the next stage"),
  readyShare: z.number().min(0).max(1).default(0.5).describe("Share of a stage's gateways that must run it"),
  maxFailed: z.number().min(0).max(1).default(0.1).describe("Share that may refuse it or roll it back"),
});

export type RolloutRule = z.output<typeof rolloutRuleSchema>;

/** `running`: stage by stage. `halted`: nobody begins any more. `done`: the last stage has stood its time. */
export type RolloutState = "running" | "halted" | "done";

/** What a coordinator keeps of one model's rollout. */
export type Rollout = {
  readonly model: string;
  /** Identity of the release. */
  readonly hash: string;
  readonly version: number;
  readonly rule: RolloutRule;
  readonly state: RolloutState;
  /** Index into the stages. */
  readonly stage: number;
  /** Why it was halted. */
  readonly reason: string;
  /** ms UTC, for people. */
  readonly startedAt: number;
};

/** What one gateway's status says of the model. */
export type ModelReport = { readonly hash: string; readonly state: string; readonly reason: string };

export type Tally = {
  /** Members that the stage takes in and that were heard of. */
  readonly inStage: number;
  readonly active: number;
  readonly failed: number;
  readonly underWay: number;
  /** What the first that failed said. */
  readonly firstFault: string;
};

const failedStates = ["refused", "rolled-back"];
const underWayStates = ["waiting", "fetching", "trying", "watching"];

/** The seed by which gateways are drawn: each release has its own canaries. */
export const seedOf = ({ model, hash }: Pick<Rollout, "model" | "hash">): string => `${model}-${hash.slice(0, 16)}`;

/** Counts how a rollout stands. @param reports  the newest report of each member that was heard of; null: it told nothing of the model */
export function tallyOf(rollout: Rollout, reports: ReadonlyMap<string, ModelReport | null>): Tally {
  const share = rollout.rule.stages[rollout.stage] ?? 1;
  const tally = { inStage: 0, active: 0, failed: 0, underWay: 0, firstFault: "" };
  for (const [gateway, report] of reports) {
    if (isInShare(gateway, { share, seed: seedOf(rollout) })) tally.inStage++;
    if (report?.hash !== rollout.hash) continue;
    if (report.state === "active") tally.active++;
    else if (underWayStates.includes(report.state)) tally.underWay++;
    else if (failedStates.includes(report.state)) {
      tally.failed++;
      tally.firstFault ||= `${gateway}: ${report.reason}`;
    }
  }
  return tally;
}

/**
 * What becomes of a rollout: halted when too many failed, in its next stage when this one has stood its time and
 * enough run it, or as it is.
 * @param stageMs  how long the stage has lasted, by a monotonic clock
 */
export function nextOf(rollout: Rollout, tally: Tally, stageMs: number): Rollout {
  if (rollout.state !== "running") return rollout;
  const { maxFailed, minReports, readyShare, wait, stages } = rollout.rule;
  const { active, failed, inStage, firstFault } = tally;
  const decided = active + failed;
  if (failed > 0 && failed > maxFailed * Math.max(decided, minReports)) {
    const reason = `${failed} of ${decided} gateways refused it or went back; ${firstFault}`;
    return { ...rollout, state: "halted", reason };
  }
  const isReady = active >= Math.min(minReports, Math.max(1, inStage)) && active >= readyShare * inStage;
  if (stageMs < wait || !isReady) return rollout;
  if (rollout.stage + 1 >= stages.length) return { ...rollout, state: "done" };
  return { ...rollout, stage: rollout.stage + 1 };
}
