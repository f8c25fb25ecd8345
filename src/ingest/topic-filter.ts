import { TidegateError } from "../base/errors.ts";
import { isFilter, matchesFilter } from "../wire/topics.ts";

/** Tells whether a topic is covered by an MQTT filter. */
export type TopicFilter = (topic: string) => boolean;

/**
 * Compiles an MQTT filter: `+` stands for one level, `#` at the end for the level before it and all below. A filter
 * that starts with either does not cover topics that start with `$`, as the protocol has it.
 * @throws TidegateError CODEC_INVALID
 */
export function compileFilter(filter: string): TopicFilter {
  if (!isFilter(filter)) {
    const reason = "is no MQTT filter: + stands for a whole level, # for all levels from the last on";
    throw new TidegateError("CODEC_INVALID", { what: `filter "${filter}"`, reason });
  }
  return (topic) => matchesFilter(filter, topic);
}
