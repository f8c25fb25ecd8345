import { type MoteReading, motePeriodMs } from "./mote-data.ts";

/** A run of readings, by index: from `first` to `last`, both included. */
export type Episode = { first: number; last: number };

/** Runs of true in `flags`; runs closer than `join` readings count as one. */
export function episodes(flags: readonly boolean[], join = 1): Episode[] {
  const found: Episode[] = [];
  flags.forEach((flag, index) => {
    if (!flag) return;
    const open = found.at(-1);
    if (open && index - open.last <= join) open.last = index;
    else found.push({ first: index, last: index });
  });
  return found;
}

const overlaps = (a: Episode, b: Episode): boolean => a.first <= b.last && b.first <= a.last;

/** How one detector did on one mote. Delays are in readings from the start of the event to the first alarm in it. */
export type Score = {
  events: { labelled: number; found: number };
  delays: number[];
  falseEpisodes: number;
  falseAlarms: number;
  normalReadings: number;
};

/**
 * Holds alarms against labels. An alarm up to `tail` readings after an event still belongs to it: the window that
 * raised it holds readings of the event.
 */
export function score(readings: readonly MoteReading[], alarms: readonly boolean[], tail: number): Score {
  const events = episodes(readings.map((reading) => reading.isLabelled));
  const reach = events.map((event) => ({ first: event.first, last: event.last + tail }));
  const raised = episodes(alarms, tail);
  const inReach = (index: number) => reach.some((event) => event.first <= index && index <= event.last);
  const delays = reach.map((event) => alarms.indexOf(true, event.first) - event.first);
  const foundDelays = delays.filter(
    (delay, i) => delay >= 0 && delay <= (events[i]?.last ?? 0) - (events[i]?.first ?? 0),
  );
  return {
    events: { labelled: events.length, found: foundDelays.length },
    delays: foundDelays,
    falseEpisodes: raised.filter((episode) => !reach.some((event) => overlaps(episode, event))).length,
    falseAlarms: alarms.filter((alarm, index) => alarm && !inReach(index)).length,
    normalReadings: readings.filter((reading) => !reading.isLabelled).length,
  };
}

/** Adds the scores of several motes. */
export function total(scores: readonly Score[]): Score {
  const sum = (pick: (score: Score) => number) => scores.reduce((all, one) => all + pick(one), 0);
  return {
    events: { labelled: sum((s) => s.events.labelled), found: sum((s) => s.events.found) },
    delays: scores.flatMap((s) => s.delays),
    falseEpisodes: sum((s) => s.falseEpisodes),
    falseAlarms: sum((s) => s.falseAlarms),
    normalReadings: sum((s) => s.normalReadings),
  };
}

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
