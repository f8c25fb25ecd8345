import type { Source } from "./frame.ts";

/** What a result means: `unknown` when a sensor is silent or the model could not say, null when nothing judges it. */
export type Verdict = "normal" | "alarm" | "unknown" | null;

/** What a model said about one window or payload, as it is published on the site broker (JSON). */
export type Result = {
  /** Deterministic: the same window and model version give the same id, so a repeat is recognised. */
  readonly id: string;
  readonly stream: string;
  readonly source: Source;
  /** Time of the newest reading in the window, ms UTC. */
  readonly ts: number;
  readonly model: string;
  readonly version: number;
  /** Every output of the model by name: a number, or numbers when the output has more than one per window. */
  readonly outputs: Readonly<Record<string, number | readonly number[] | string>>;
  readonly score: number | null;
  readonly label: string | null;
  readonly verdict: Verdict;
  /** A better answer is on its way from the cloud. */
  readonly provisional: boolean;
  /** From arrival of the newest reading to the result, ms. */
  readonly latencyMs: number;
  /** Present and true when the result was given before, e.g. before a crash. */
  readonly repeated?: true;
  /** Present and true when it comes later than the stream's own pace, e.g. after a replay. */
  readonly late?: true;
};
