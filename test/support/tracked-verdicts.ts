import type { Result } from "../../src/base/result.ts";
import type { Card } from "../../src/inference/card.ts";
import type { BatchResult } from "../../src/inference/lane.ts";
import { parseCard } from "../../src/inference/parse-card.ts";
import { type VerdictOptions, VerdictTracker } from "../../src/inference/verdict.ts";

/** A card whose verdict is an alarm above a score of 1. */
export const scored = parseCard(`
format: 1
name: climate
version: 7
task: anomaly
fields: [{ name: a }]
window: { size: 1 }
inputs: [{ name: window, dims: [batch, 1, 1] }]
outputs: [{ name: score, kind: score, dims: [batch] }, { name: expected, kind: value, dims: [batch, 2] }]
verdict: { output: score, above: 1 }
`);

export type Window = { sequence: number; score: number; source?: number; ts?: number; arrived?: number };

function batchOf(windows: readonly Window[], card: Card = scored): BatchResult {
  const column = (read: (window: Window) => number) => Float64Array.from(windows, read);
  return {
    stream: "env",
    model: card.name,
    version: card.version,
    n: windows.length,
    sources: Uint32Array.from(windows, ({ source = 0 }) => source),
    sequences: column(({ sequence }) => sequence),
    ts: column(({ sequence, ts = 1_000 * sequence }) => ts),
    arrived: column(({ arrived = 0 }) => arrived),
    outputs: {
      score: Float32Array.from(windows, ({ score }) => score),
      expected: Float32Array.from(windows.flatMap(({ score }) => [score, -score])),
    },
    widths: { score: 1, expected: 2 },
    durationMs: 1,
  };
}

type Given = { result: Result; sequence: number };

type Rules = { onAfter?: number; offAfter?: number; silentAfterMs?: number } & Partial<VerdictOptions["publish"]> &
  Pick<VerdictOptions, "lateAfterMs">;

/** A verdict tracker with a list of what it gave. */
export function track(rules: Rules = {}) {
  const { onAfter = 1, offAfter = 1, silentAfterMs = 0, when = "all", minIntervalMs = 0, lateAfterMs } = rules;
  const given: Given[] = [];
  const tracker = new VerdictTracker({
    stream: "env",
    alarm: { onAfter, offAfter, silentAfterMs },
    publish: { when, minIntervalMs },
    ...(lateAfterMs === undefined ? {} : { lateAfterMs }),
    sourceOf: (index) => ({ site: "north", mote: `m${index}` }),
  });
  const give = (result: Result, sequence: number) => given.push({ result, sequence });
  const accept = (windows: readonly Window[], now = 0) => tracker.accept(batchOf(windows), scored, now, give);
  /** Scores of successive windows of source 0, one second apart. */
  const scores = (values: readonly number[], first = 0) =>
    accept(values.map((score, i) => ({ sequence: first + i, score })));
  const tick = (now: number) => tracker.tick(now, give);
  const verdicts = () => given.map(({ result }) => result.verdict);
  const told = () => given.map(({ result, sequence }) => [sequence, result.verdict]);
  return { tracker, given, give, accept, scores, tick, verdicts, told };
}
