import { score, stepDetector, total } from "../../src/commands/demo/scoreboard.ts";
import { conformalQuantile } from "../../src/train/conformal.ts";
import { fitRidge, predictLinear } from "../../src/train/ridge.ts";
import type { Motes } from "./motes.ts";

export type Alarm = { readonly onAfter: number; readonly offAfter: number };

/** Alarms as a gateway would raise them. @param isHigh  of each window, one after the other */
export function hysteresis(isHigh: readonly boolean[], { onAfter, offAfter }: Alarm): boolean[] {
  let isOn = false;
  let onRun = 0;
  let offRun = 0;
  return isHigh.map((high) => {
    onRun = high ? onRun + 1 : 0;
    offRun = high ? 0 : offRun + 1;
    isOn = isOn ? offRun < offAfter : onRun >= onAfter;
    return isOn;
  });
}

/**
 * How alarms did on all of the data, in the words of a card.
 * @param alarms  of each mote, one for each of its readings
 * @param tail  readings after an event that an alarm may still belong to it
 */
export function detectorMetrics(motes: Motes, alarms: ReadonlyMap<number, readonly boolean[]>, tail: number) {
  const each = [...motes].map(([mote, readings]) => score(readings, alarms.get(mote) ?? [], tail));
  const { events, delays, falseEpisodes, falseAlarms, normalReadings } = total(each);
  return {
    eventsLabelled: events.labelled,
    eventsFound: events.found,
    meanDelayReadings: delays.reduce((a, b) => a + b, 0) / delays.length,
    worstDelayReadings: Math.max(...delays),
    falseEpisodes,
    worstFalseEpisodesOfOneMote: Math.max(...each.map((one) => one.falseEpisodes)),
    falseAlarms,
    normalReadings,
  };
}

/** The one-line detector: its deviation comes from the first `prefix` readings. */
export const stepAlarms = (motes: Motes, prefix: number): Map<number, boolean[]> =>
  new Map([...motes].map(([mote, readings]) => [mote, stepDetector(readings, prefix)]));

/** Past readings without their mean, the newest without it, and their shares in the error. */
function centred(window: readonly number[][]): { past: number[]; newest: number[] } {
  const known = window.slice(0, -1);
  const level = [0, 1].map((field) => known.reduce((sum, row) => sum + (row[field] ?? 0), 0) / known.length);
  const without = (row: readonly number[]) => row.map((value, field) => value - (level[field] ?? 0));
  return { past: known.flatMap(without), newest: without(window.at(-1) ?? []) };
}

/**
 * A linear predictor of the newest reading from those before it in the window; what it is off by is the score. Weights
 * come from the first `weightReadings` of each mote, the threshold from those up to `prefix`: ten times the distance that
 * one window of ten exceeds, and three windows in a row.
 */
export function predictorAlarms(motes: Motes, size: number, weightReadings: number, prefix: number) {
  const windows = (rows: number[][], hop: number) =>
    Array.from({ length: Math.max(0, Math.ceil((rows.length - size + 1) / hop)) }, (_, i) =>
      centred(rows.slice(i * hop, i * hop + size)),
    );
  const series = [...motes.values()].map((readings) =>
    readings.map(({ humidity, temperature }) => [humidity, temperature]),
  );
  const known = series.flatMap((rows) => windows(rows.slice(0, weightReadings), 1));
  const model = fitRidge(
    known.flatMap(({ past }) => past),
    known.flatMap(({ newest }) => newest),
    { width: 2 * (size - 1), outputs: 2, penalty: 1 },
  );
  const errorsOf = ({ past, newest }: ReturnType<typeof centred>) => {
    const expected = predictLinear(model, past);
    return newest.map((value, field) => value - (expected[field] ?? 0));
  };
  const errors = known.map(errorsOf);
  const scale = [0, 1].map((field) =>
    Math.sqrt(errors.reduce((sum, error) => sum + (error[field] ?? 0) ** 2, 0) / errors.length),
  );
  const distance = (window: ReturnType<typeof centred>) =>
    Math.hypot(...errorsOf(window).map((error, field) => error / (scale[field] ?? 1))) / Math.SQRT2;
  const later = series.flatMap((rows) => windows(rows.slice(weightReadings, prefix), size).map(distance));
  const quantile = conformalQuantile(later, 0.1);
  const alarmsOf = (rows: number[][]): boolean[] => {
    const isHigh = windows(rows, 1).map((window) => distance(window) > 10 * quantile);
    return [...Array<boolean>(size - 1).fill(false), ...hysteresis(isHigh, { onAfter: 3, offAfter: size })];
  };
  return new Map([...motes.keys()].map((mote, index) => [mote, alarmsOf(series[index] ?? [])]));
}
