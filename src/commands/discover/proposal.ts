import { compilePattern } from "../../ingest/topic-pattern.ts";
import type { Group } from "./grouping.ts";
import { type FieldKind, switches } from "./shape.ts";
import type { Heard } from "./survey.ts";

/** A stream as it goes into the configuration. */
export type ProposedStream = {
  readonly topic: string;
  readonly exclude?: readonly string[];
  readonly codec: "json";
  readonly fields: Readonly<Record<string, string | { path: string; map: Readonly<Record<string, number>> }>>;
  readonly timestamp?: string;
  readonly numericStrings?: true;
};

export type Proposal = {
  readonly name: string;
  readonly stream: ProposedStream;
  /** What was heard of it. */
  readonly topics: number;
  readonly messages: number;
};

/** A longer list of exceptions says that the pattern is wrong. */
const maxExclude = 16;
const idLength = 64;

/** Makes a stream of each group; names are unique and fit for topics and metrics. */
export function proposeStreams(groups: readonly Group[], heard: readonly Heard[]): Proposal[] {
  const taken = new Set<string>();
  return groups.map((group) => {
    const { topics } = group;
    const messages = topics.reduce((sum, topic) => sum + topic.messages, 0);
    return { name: unique(nameOf(group), taken), stream: streamOf(group, heard), topics: topics.length, messages };
  });
}

function streamOf(group: Group, heard: readonly Heard[]): ProposedStream {
  const { shape, levels } = group;
  const topic = patternOf(levels);
  const exclude = excluded(topic, group, heard);
  const [time] = [...shape.times].sort((a, b) => a.length - b.length);
  const hasTexts = [...shape.fields.values()].includes("numericText");
  return {
    topic,
    ...(exclude.length > 0 ? { exclude } : {}),
    codec: "json",
    fields: fieldsOf(shape.fields, levels),
    ...(time === undefined ? {} : { timestamp: time }),
    ...(hasTexts ? { numericStrings: true } : {}),
  };
}

/** `motes/{mote}/env`: a capture is called after the level before it where that is a plural. */
export function patternOf(levels: readonly (string | null)[]): string {
  const taken = new Set<string>();
  return levels
    .map((level, i) => {
      if (level !== null) return level;
      const [, singular = "device"] = /^([A-Za-z][A-Za-z0-9_-]{0,58})s$/.exec(levels[i - 1] ?? "") ?? [];
      return `{${unique(singular, taken)}}`;
    })
    .join("/");
}

/** Topics that the pattern would take though they are of another kind. */
function excluded(topic: string, group: Group, heard: readonly Heard[]): string[] {
  const pattern = compilePattern(topic);
  const own = new Set(group.topics);
  const others = heard.filter((other) => !own.has(other) && pattern.match(other.topic) !== null);
  return others.length > maxExclude ? [] : others.map((other) => other.topic).sort();
}

function fieldsOf(fields: ReadonlyMap<string, FieldKind>, levels: readonly (string | null)[]) {
  const taken = new Set<string>();
  const last = levels.findLast((level) => level !== null) ?? "value";
  return Object.fromEntries(
    [...fields].map(([path, kind]) => {
      const name = unique(toId(path === "." ? last : path, "value"), taken);
      return [name, kind === "switch" ? { path, map: switches } : path];
    }),
  );
}

/** The last level that all topics share, since it tells most: `env` of `motes/{mote}/env`. */
const nameOf = ({ levels }: Group): string =>
  toId(levels.findLast((level, i) => level !== null && (i > 0 || levels.length === 1)) ?? levels[0] ?? "", "stream");

/** A text as an id: letters, digits, _ and -. */
function toId(text: string, otherwise: string): string {
  const id = text
    .replace(/[^A-Za-z0-9_-]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, idLength - 4);
  return id || otherwise;
}

function unique(name: string, taken: Set<string>): string {
  let candidate = name;
  for (let n = 2; taken.has(candidate); n++) candidate = `${name}_${n}`;
  taken.add(candidate);
  return candidate;
}
