import { blockBootstrap, type Interval } from "./bootstrap.ts";

/** One number for each example of a slice, from both versions, beside each other. Smaller is better. */
export type Paired = {
  readonly candidate: Float64Array;
  readonly active: Float64Array;
  /** Examples of one block say nearly the same. */
  readonly blocks: Int32Array;
};

/** What is known of both versions. */
export type GateEvidence = {
  /** Losses on the newest slice. */
  readonly losses: Paired;
  /** For models that raise alarms: 1 where a window without known event alarms, on the newest slice. */
  readonly falseAlarms?: Paired | undefined;
  /** Frozen reference events: which of them each version finds. Absent: there are none. */
  readonly events?: { readonly candidate: readonly boolean[]; readonly active: readonly boolean[] } | undefined;
  /** Why the candidate has no threshold of its own, when none could be told. */
  readonly uncalibrated?: string | undefined;
};

export type GateRule = {
  /** Share by which the loss must have fallen, at the upper end of its interval. Default 0: any fall that is no chance. */
  readonly margin?: number;
  /** Share of windows by which false alarms may rise. Default 0.001. */
  readonly alarmMargin?: number;
  /** Blocks below which nothing is decided. Default 10. */
  readonly leastBlocks?: number;
  /** A model that raises alarms is not replaced where there is no event to try it on. Default true. */
  readonly needsEvents?: boolean;
  readonly confidence?: number;
  readonly resamples?: number;
  readonly seed: number;
};

/** `passed`: the candidate takes over. `failed`: it is worse. `kept`: that it is better was not shown; the active one stays. */
export type GateDecision = {
  readonly outcome: "passed" | "failed" | "kept";
  /** One sentence each, the deciding ones first. */
  readonly reasons: readonly string[];
  /** Change of the mean loss as a share of the active version's, and of the rate of false alarms. */
  readonly lossChange: Interval;
  readonly alarmChange?: Interval;
};

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const range = ({ mean, low, high }: Interval): string => `${percent(mean)} (${percent(low)} to ${percent(high)})`;

/**
 * Decides whether a candidate replaces the active version: paired, on the newest slice and on frozen reference events.
 * A change counts when its whole confidence interval lies on one side. What was trained with must have no part in it.
 */
export function decide(evidence: GateEvidence, rule: GateRule): GateDecision {
  const { margin = 0, alarmMargin = 0.001, leastBlocks = 10, needsEvents = true } = rule;
  const { losses, falseAlarms, events } = evidence;
  const failed: string[] = [];
  const kept: string[] = [];
  const passed: string[] = [];
  const { length } = losses.active;
  const blocks = new Set(losses.blocks).size;
  const base = losses.active.reduce((sum, loss) => sum + loss, 0) / Math.max(1, length);
  const change = changeOf(losses, rule);
  const share = (value: number): number => (base > 0 ? value / base : value);
  const lossChange = { mean: share(change.mean), low: share(change.low), high: share(change.high) };
  const said = `the loss on the newest slice changes by ${range(lossChange)}`;
  if (blocks < leastBlocks)
    kept.push(
      `the newest slice has ${length} examples in ${blocks} blocks of time, at least ${leastBlocks} are needed`,
    );
  else if (losses.candidate.some((loss) => !Number.isFinite(loss)))
    failed.push("the candidate gives a loss that is not finite");
  else if (lossChange.low > 0) failed.push(`${said}: it is worse`);
  else if (lossChange.high < -margin) passed.push(`${said}: it is better`);
  else kept.push(`${said}: that it falls by more than ${percent(margin)} is not shown`);

  if (evidence.uncalibrated !== undefined) kept.push(evidence.uncalibrated);
  const alarmChange = falseAlarms && changeOf(falseAlarms, rule);
  if (alarmChange) {
    const text = `the rate of false alarms changes by ${range(alarmChange)}`;
    if (alarmChange.low > 0 && alarmChange.mean > alarmMargin) failed.push(`${text}: there are more`);
    else if (alarmChange.high > alarmMargin) kept.push(`${text}: a rise of ${percent(alarmMargin)} is not ruled out`);
    else passed.push(text);
  }
  if (events && events.active.length > 0) {
    const lost = events.active.flatMap((found, i) => (found && !events.candidate[i] ? [i + 1] : []));
    const count = events.active.length;
    if (lost.length > 0) failed.push(`of ${count} reference events it no longer finds number ${lost.join(", ")}`);
    else passed.push(`of ${count} reference events it finds all that the active version finds`);
  } else if (falseAlarms && needsEvents)
    kept.push("there is no reference event: whether alarms are still raised cannot be told");
  const outcome = failed.length > 0 ? "failed" : kept.length > 0 ? "kept" : "passed";
  return {
    outcome,
    reasons: [...failed, ...kept, ...passed],
    lossChange,
    ...(alarmChange ? { alarmChange } : {}),
  };
}

function changeOf({ candidate, active, blocks }: Paired, { seed, resamples, confidence }: GateRule): Interval {
  const differences = candidate.map((value, i) => value - (active[i] as number));
  return blockBootstrap(differences, blocks, {
    seed,
    ...(resamples === undefined ? {} : { resamples }),
    ...(confidence === undefined ? {} : { confidence }),
  });
}
