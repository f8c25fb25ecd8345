import { type AlarmScore, scoreAlarms, totalAlarmScore } from "../../train/metrics-anomaly.ts";
import { type MoteReading, motePeriodMs } from "./mote-data.ts";

/** How one detector did on one mote. Delays are in readings. */
export type Score = AlarmScore;

/** Holds alarms against labels, as `scoreAlarms` does. */
export const score = (readings: readonly MoteReading[], alarms: readonly boolean[], tail: number): Score =>
  scoreAlarms(
    readings.map(({ isLabelled }) => isLabelled),
    alarms,
    tail,
  );

/** Adds the scores of several motes. */
export const total = totalAlarmScore;

/** The detector that one writes in a line: humidity steps by more than four sigma of the steps in the prefix. */
export function stepDetector(readings: readonly MoteReading[], prefix: number): boolean[] {
  const steps = readings.map((reading, i) => (i === 0 ? 0 : reading.humidity - (readings[i - 1]?.humidity ?? 0)));
  const known = steps.slice(1, prefix);
  const mean = known.reduce((sum, step) => sum + step, 0) / known.length;
  const sigma = Math.sqrt(known.reduce((sum, step) => sum + (step - mean) ** 2, 0) / known.length);
  return steps.map((step) => Math.abs(step - mean) > 4 * sigma);
}

/** Readings to seconds of the motes' own time. */
export const readingsToSeconds = (readings: number): number => (readings * motePeriodMs) / 1000;
