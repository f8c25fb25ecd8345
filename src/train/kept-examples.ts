import type { DataSet, Split } from "./data-set.ts";
import { isAlike } from "./join-data.ts";
import { reservoir, takeExamples, withReplay } from "./replay.ts";

/** How much of the past is trained on beside the newest readings. */
export type ReplaySettings = {
  /** Examples that are kept. */
  readonly examples: number;
  /** What they weigh, of all that trains: 0 to below 1. */
  readonly share: number;
};

/**
 * Mixes what was kept of old into the training part. Left out is what is as new as anything that is held back: it could be
 * the same readings. What was kept for a model of another shape is of no use.
 */
export function mixKept(
  newer: DataSet,
  split: Split,
  kept: DataSet | null,
  { share }: ReplaySettings,
): { data: DataSet; split: Split; replayed: number } {
  const asItIs = { data: newer, split, replayed: 0 };
  if (!kept || share <= 0 || !isAlike(kept, newer)) return asItIs;
  const heldBack = [split.validation, split.calibration, split.test].flatMap((part) => [...part]);
  const first = heldBack.reduce((least, example) => Math.min(least, newer.ts[example] as number), Infinity);
  const old = Int32Array.from(kept.first, (_, example) => example).filter((i) => (kept.ts[i] as number) < first);
  if (old.length === 0) return asItIs;
  return { ...withReplay(newer, split, takeExamples(kept, old), share), replayed: old.length };
}

/** What is kept of a training for the next: of all that it trained on, each example alike, however it was weighed. */
export function keepExamples(data: DataSet, split: Split, { examples }: ReplaySettings, seed: number): DataSet {
  const even = { ...data, weights: new Float32Array(data.first.length).fill(1) };
  const chosen = reservoir(even, split.train, examples, seed);
  const kept = takeExamples(even, chosen);
  return { ...kept, manifest: { ...kept.manifest, from: "kept examples", readings: chosen.length } };
}
