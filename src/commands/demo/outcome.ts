import type { MoteReading } from "./mote-data.ts";
import type { Score } from "./scoreboard.ts";

/** What `demo --json` prints; scripts rely on these keys. */
export type DemoSummary = {
  readonly readings: number;
  readonly inferences: number;
  readonly events: { readonly labelled: number; readonly found: number };
  readonly falseEpisodes: number;
  readonly falseAlarms: number;
  readonly normalReadings: number;
  readonly blocks: number;
  readonly bytesPerReading: number;
  readonly uplinked: number;
  readonly durationMs: number;
  readonly memoryMB: number;
  /** From the start of each event that was found to its first alarm, in readings (5 s apart). */
  readonly delays: readonly number[];
  /** The same figures for a step of humidity by more than four sigma. */
  readonly oneLiner: Score;
  readonly readingsPerSecond: number;
};

/** One mote's part, for the chart. */
export type MoteOutcome = {
  readonly mote: number;
  readonly readings: readonly MoteReading[];
  readonly alarms: readonly boolean[];
  readonly score: Score;
};

export type DemoOutcome = {
  readonly summary: DemoSummary;
  readonly motes: readonly MoteOutcome[];
  readonly isComplete: boolean;
};
