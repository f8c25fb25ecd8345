import { TidegateError } from "../../base/errors.ts";
import { timeOf } from "../../ingest/codecs/timestamp.ts";
import { topicFault } from "../../ingest/topic-pattern.ts";
import { recordedMessage } from "../recording/json-line.ts";
import type { RecordedEntry } from "./records.ts";

/** What goes out for one entry of a recording. */
export type ReplayedMessage = {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  /** When it was recorded, ms UTC; null: the entry does not say. */
  readonly ts: number | null;
};

export type MessageOptions = {
  readonly file: string;
  /** `motes/{mote}/env`: filled from the entry; absent: entries are `{"topic": …, "payload": …}`. */
  readonly topic?: string | undefined;
  /** Key or column of the time; absent: the first of the usual names. */
  readonly time?: string | undefined;
};

const usualTimes = ["ts", "receivedAt", "time", "timestamp", "datetime", "date", "last_seen"];
const placeholder = /\{([^{}]+)\}/g;

/**
 * The message of an entry: as it was recorded, or made of the entry's values, without those that are in the topic.
 * @throws TidegateError RECORDING_INVALID
 */
export function messageOf({ values, line }: RecordedEntry, { file, topic, time }: MessageOptions): ReplayedMessage {
  const fault = (reason: string) => new TidegateError("RECORDING_INVALID", { file, line, reason });
  const ts = timeAt(values, time, fault);
  const recorded = recordedMessage(values);
  if (topic === undefined) {
    if (recorded) return { ...recorded, ts: ts ?? payloadTime(recorded.payload) };
    throw fault('it is no {"topic": …, "payload": …}: give --topic, with {column} for what varies');
  }
  const used = new Set<string>();
  const filled = topic.replace(placeholder, (_, name: string) => {
    const value = values[name];
    if (typeof value !== "string" && typeof value !== "number") throw fault(`it has no ${name}, which the topic needs`);
    used.add(name);
    return String(value);
  });
  const wrong = topicFault(filled);
  if (wrong !== null) throw fault(`the topic ${filled} cannot be published: ${wrong}`);
  if (recorded) return { topic: filled, payload: recorded.payload, ts: ts ?? payloadTime(recorded.payload) };
  const payload = Object.fromEntries(Object.entries(values).filter(([name]) => !used.has(name)));
  return { topic: filled, payload: JSON.stringify(payload), ts };
}

function timeAt(values: RecordedEntry["values"], name: string | undefined, fault: (reason: string) => Error) {
  const key = name ?? usualTimes.find((usual) => Object.hasOwn(values, usual));
  const written = key === undefined ? undefined : values[key];
  if (written === undefined) {
    if (name !== undefined) throw fault(`it has no ${name}, which --time names`);
    return null;
  }
  try {
    return timeOf(written, "auto");
  } catch {
    if (name !== undefined) throw fault(`its ${name} is no time`);
    return null;
  }
}

/** The time inside a recorded payload, when it is JSON and has one of the usual names. */
function payloadTime(payload: Uint8Array): number | null {
  try {
    const object: unknown = JSON.parse(Buffer.from(payload).toString("utf8"));
    if (typeof object !== "object" || object === null) return null;
    return timeAt(object as RecordedEntry["values"], undefined, (reason) => new Error(reason));
  } catch {
    return null;
  }
}
