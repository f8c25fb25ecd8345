import { TidegateError } from "../base/errors.ts";

/** Tells whether a topic is covered by an MQTT filter. */
export type TopicFilter = (topic: string) => boolean;

/**
 * Compiles an MQTT filter: `+` stands for one level, `#` at the end for the level before it and all below. A filter
 * that starts with either does not cover topics that start with `$`, as the protocol has it.
 * @throws TidegateError CODEC_INVALID
 */
export function compileFilter(filter: string): TopicFilter {
  const levels = filter.split("/");
  const isFaulty = levels.some((level, i) =>
    level.includes("#") ? level !== "#" || i < levels.length - 1 : level.includes("+") && level !== "+",
  );
  if (filter === "" || isFaulty) {
    const reason = "is no MQTT filter: + stands for a whole level, # for all levels from the last on";
    throw new TidegateError("CODEC_INVALID", { what: `filter "${filter}"`, reason });
  }
  const isOpen = levels.at(-1) === "#";
  const fixed = isOpen ? levels.slice(0, -1) : levels;
  const sparesSystem = levels[0] === "#" || levels[0] === "+";
  return (topic) => {
    if (sparesSystem && topic.startsWith("$")) return false;
    const parts = topic.split("/");
    if (isOpen ? parts.length < fixed.length : parts.length !== fixed.length) return false;
    return fixed.every((level, i) => level === "+" || level === parts[i]);
  };
}
