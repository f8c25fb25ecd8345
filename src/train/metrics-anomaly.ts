/** A run of readings or windows, by index: from `first` to `last`, both included. */
export type Episode = { first: number; last: number };

/** Runs of true in `flags`; runs closer than `join` places count as one. */
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

/** How alarms did on one source. Delays are in places from the start of the event to the first alarm in it. */
export type AlarmScore = {
  readonly events: { readonly labelled: number; readonly found: number };
  readonly delays: readonly number[];
  readonly falseEpisodes: number;
  readonly falseAlarms: number;
  /** Places without a label. */
  readonly normalReadings: number;
};

/**
 * Holds alarms against labels, place by place in order of time. An alarm up to `tail` places after an event still
 * belongs to it: the window that raised it holds readings of the event.
 */
export function scoreAlarms(labels: readonly boolean[], alarms: readonly boolean[], tail: number): AlarmScore {
  const events = episodes(labels);
  const reach = events.map((event) => ({ first: event.first, last: event.last + tail }));
  const raised = episodes(alarms, tail);
  const inReach = (index: number) => reach.some((event) => event.first <= index && index <= event.last);
  const delays = reach.map((event) => alarms.indexOf(true, event.first) - event.first);
  const found = delays.filter((delay, i) => delay >= 0 && delay <= (events[i]?.last ?? 0) - (events[i]?.first ?? 0));
  return {
    events: { labelled: events.length, found: found.length },
    delays: found,
    falseEpisodes: raised.filter((episode) => !reach.some((event) => overlaps(episode, event))).length,
    falseAlarms: alarms.filter((alarm, index) => alarm && !inReach(index)).length,
    normalReadings: labels.filter((label) => !label).length,
  };
}

/** Adds the scores of several sources. */
export function totalAlarmScore(scores: readonly AlarmScore[]): AlarmScore {
  const sum = (pick: (score: AlarmScore) => number) => scores.reduce((all, one) => all + pick(one), 0);
  return {
    events: { labelled: sum((s) => s.events.labelled), found: sum((s) => s.events.found) },
    delays: scores.flatMap((s) => s.delays),
    falseEpisodes: sum((s) => s.falseEpisodes),
    falseAlarms: sum((s) => s.falseAlarms),
    normalReadings: sum((s) => s.normalReadings),
  };
}
