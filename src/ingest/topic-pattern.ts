import { TidegateError } from "../base/errors.ts";
import type { Source } from "../base/frame.ts";

/** A compiled topic pattern of a stream. */
export type TopicPattern = {
  /** The MQTT filter that covers it. */
  readonly filter: string;
  /** The source that the topic stands for; null when the topic does not match. */
  match(topic: string): Source | null;
};

const capture = /^\{([A-Za-z0-9_-]{1,64})(\.\.\.)?\}$/;

/**
 * Compiles `site/{room}/{path...}/env`: `{name}` captures one level, `{name...}` one or more, once.
 * Topics that start with `$` never match a pattern that starts with a capture, as the protocol has it.
 * @throws TidegateError CODEC_INVALID
 */
export function compilePattern(pattern: string): TopicPattern {
  const fault = (reason: string) => new TidegateError("CODEC_INVALID", { what: `topic "${pattern}"`, reason });
  const levels = pattern.split("/").map((level) => {
    const match = capture.exec(level);
    if (match) return { name: match[1] ?? "", isMany: match[2] !== undefined };
    if (/[{}+#\0]/.test(level)) throw fault(`"${level}" is neither plain text nor {name} nor {name...}`);
    return level;
  });
  const names = levels.flatMap((level) => (typeof level === "string" ? [] : [level.name]));
  if (new Set(names).size < names.length) throw fault("a name is captured twice");
  const many = levels.findIndex((level) => typeof level !== "string" && level.isMany);
  if (many !== -1 && levels.slice(many + 1).some((level) => typeof level !== "string" && level.isMany))
    throw fault("only one {name...} can be told apart from its neighbours");
  const after = many === -1 ? 0 : levels.length - many - 1;
  // A filter can only end in "#": what stands behind {name...} is checked here, not by the broker.
  const filter = (many === -1 ? levels : levels.slice(0, many))
    .map((level) => (typeof level === "string" ? level : "+"))
    .concat(many === -1 ? [] : ["#"])
    .join("/");

  return {
    filter,
    match(topic) {
      const parts = topic.split("/");
      if (many === -1 ? parts.length !== levels.length : parts.length < levels.length) return null;
      if (topic.startsWith("$") && typeof levels[0] !== "string") return null;
      const source: Record<string, string> = {};
      const extra = parts.length - levels.length;
      for (let i = 0, at = 0; i < levels.length; i++) {
        const level = levels[i];
        if (typeof level === "string") {
          if (parts[at++] !== level) return null;
        } else if (level?.isMany) {
          source[level.name] = parts.slice(at, parts.length - after).join("/");
          at += extra + 1;
        } else {
          source[level?.name ?? ""] = parts[at++] ?? "";
        }
      }
      return source;
    },
  };
}

/** Whether an MQTT filter covers a topic. */
export function filterCovers(filter: string, topic: string): boolean {
  const levels = filter.split("/");
  const parts = topic.split("/");
  if (topic.startsWith("$") && (levels[0] === "#" || levels[0] === "+")) return false;
  for (let i = 0; i < levels.length; i++) {
    if (levels[i] === "#") return true;
    if (i >= parts.length || (levels[i] !== "+" && levels[i] !== parts[i])) return false;
  }
  return levels.length === parts.length;
}
