import { TidegateError } from "../base/errors.ts";
import type { Source } from "../base/frame.ts";
import { compileFilter } from "./topic-filter.ts";

/** A compiled topic pattern of a stream. */
export type TopicPattern = {
  /** The MQTT filter to subscribe to. It may cover more than the pattern: filters cannot say all that patterns can. */
  readonly filter: string;
  /** Names of the captures, in order. */
  readonly names: readonly string[];
  /** Whether the filter covers the topic: then the broker is right to send it, match or not. */
  covers(topic: string): boolean;
  /** The source that the topic stands for; null when the stream does not take it. */
  match(topic: string): Source | null;
};

type Level = string | { readonly name: string; readonly isMany: boolean };

// Names start with a letter: an object lists keys that look like numbers first, which would reorder the source.
const capture = /^\{([A-Za-z][A-Za-z0-9_-]{0,63})(\.\.\.)?\}$/;
const own = "tidegate/";

/** Longest topic that is taken, characters: what is made of it must be a topic again, and it is remembered. */
export const maxTopicLength = 1_024;

/**
 * What is wrong with a topic that no well-behaved broker sends, or that a result could not be published under; null
 * when nothing is. Spaces, accents and other scripts are in order.
 */
export function topicFault(topic: string): string | null {
  if (topic.length > maxTopicLength) return `it is longer than ${maxTopicLength} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f]/.test(topic)) return "it has control characters";
  if (/[+#]/.test(topic)) return "it has a wildcard";
  return topic === "" ? "it is empty" : null;
}

/** Topics that the gateway or the broker itself writes: what it says must never come back in as a reading. */
export const isReserved = (topic: string): boolean => topic.startsWith(own) || topic.startsWith("$");

/**
 * Compiles `site/{room}/{path...}/env`: `{name}` captures one level, `{name...}` one or more. Topics that start
 * with `$` or `tidegate/` never match.
 *
 * @param exclude  MQTT filters whose topics do not match
 * @throws TidegateError CODEC_INVALID
 */
export function compilePattern(pattern: string, exclude: readonly string[] = []): TopicPattern {
  const levels = parseLevels(pattern);
  const captures = levels.filter((level) => typeof level !== "string");
  const many = levels.findIndex((level) => typeof level !== "string" && level.isMany);
  // A filter can only end in "#": what stands behind {name...} is checked here, not by the broker.
  const filter = (many === -1 ? levels : levels.slice(0, many))
    .map((level) => (typeof level === "string" ? level : "+"))
    .concat(many === -1 ? [] : ["#"])
    .join("/");
  const excluded = exclude.map(compileFilter);

  return {
    filter,
    names: captures.map((level) => level.name),
    covers: compileFilter(filter),
    match(topic) {
      if (isReserved(topic) || topicFault(topic) !== null) return null;
      const source = capturesOf(levels, many, topic.split("/"));
      return source && excluded.some((covers) => covers(topic)) ? null : source;
    },
  };
}

function parseLevels(pattern: string): Level[] {
  const fault = (reason: string) => new TidegateError("CODEC_INVALID", { what: `topic "${pattern}"`, reason });
  const wrong = topicFault(pattern);
  if (wrong !== null) throw fault(`${wrong}; a pattern has {name} and {name...} for what varies`);
  if (isReserved(pattern)) throw fault(`topics that start with "$" or "${own}" are not taken`);
  const levels = pattern.split("/").map((level): Level => {
    const match = capture.exec(level);
    if (match) return { name: match[1] ?? "", isMany: match[2] !== undefined };
    if (/[{}]/.test(level)) throw fault(`"${level}" is neither plain text nor {name} nor {name...}`);
    return level;
  });
  const captures = levels.filter((level) => typeof level !== "string");
  const names = captures.map((level) => level.name);
  if (new Set(names).size < names.length) throw fault("a name is captured twice");
  if (captures.filter((level) => level.isMany).length > 1) throw fault("more than one {name...} cannot be told apart");
  return levels;
}

function capturesOf(levels: readonly Level[], many: number, parts: readonly string[]): Source | null {
  const extra = parts.length - levels.length;
  if (many === -1 ? extra !== 0 : extra < 0) return null;
  const source: Record<string, string> = {};
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i];
    const at = many !== -1 && i > many ? i + extra : i;
    if (typeof level === "string") {
      if (parts[at] !== level) return null;
    } else if (level) {
      source[level.name] = parts.slice(at, at + (level.isMany ? extra : 0) + 1).join("/");
    }
  }
  return source;
}
