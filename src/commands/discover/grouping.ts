import { likeness, mergeInto, type Shape } from "./shape.ts";
import type { Heard } from "./survey.ts";

/** Topics that look like one kind of sensor. A level is null where they differ. */
export type Group = {
  readonly levels: (string | null)[];
  readonly topics: Heard[];
  readonly shape: Shape;
};

/** Payloads with less in common are of different kinds. */
const minLikeness = 0.5;

/**
 * Gathers topics of as many levels and like payloads into patterns. Levels that differ become captures as long as at
 * least half of them stay; the first topic of a kind decides nothing: groups grow until no two of them fit.
 */
export function groupTopics(heard: readonly Heard[]): Group[] {
  const groups: Group[] = [];
  for (const one of heard.filter(({ fault }) => fault === null)) {
    const shape: Shape = { fields: new Map(one.shape.fields), times: new Set(one.shape.times) };
    let group: Group = { levels: one.topic.split("/"), topics: [one], shape };
    for (let other = bestFit(groups, group); other; other = bestFit(groups, group)) {
      groups.splice(groups.indexOf(other), 1);
      group = merged(other, group);
    }
    groups.push(group);
  }
  return groups.sort((a, b) => b.topics.length - a.topics.length || rank(a).localeCompare(rank(b)));
}

const rank = ({ levels }: Group): string => levels.map((level) => level ?? "").join("/");

/** The group that fits with the fewest levels given up. */
function bestFit(groups: readonly Group[], group: Group): Group | undefined {
  let best: Group | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const other of groups) {
    const open = openLevels(other, group);
    if (open < fewest && likeness(other.shape, group.shape) >= minLikeness) {
      best = other;
      fewest = open;
    }
  }
  return best;
}

/** Levels that a pattern of both would leave open; Infinity when it would say too little. */
function openLevels(a: Group, b: Group): number {
  if (a.levels.length !== b.levels.length) return Number.POSITIVE_INFINITY;
  // Where the payload is the value itself, the topic's end tells what it measures: kitchen/temperature, kitchen/humidity.
  if (a.shape.fields.has(".") && a.levels.at(-1) !== b.levels.at(-1)) return Number.POSITIVE_INFINITY;
  let open = 0;
  for (const [i, level] of a.levels.entries()) if (level === null || level !== b.levels[i]) open++;
  return open <= a.levels.length / 2 ? open : Number.POSITIVE_INFINITY;
}

function merged(a: Group, b: Group): Group {
  mergeInto(a.shape, b.shape);
  return {
    levels: a.levels.map((level, i) => (level === b.levels[i] ? level : null)),
    topics: [...a.topics, ...b.topics],
    shape: a.shape,
  };
}
