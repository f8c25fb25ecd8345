import { TidegateError } from "../../base/errors.ts";
import { isObject, type JsonObject, recordedMessage } from "../recording/json-line.ts";
import { readLines } from "../recording/lines.ts";

/** One message to try. */
export type TriedMessage = { readonly topic: string; readonly payload: Uint8Array; readonly arrivedAt?: number };

export type MessageSources = {
  readonly payloads: readonly string[];
  readonly file?: string | undefined;
  /** Of payloads that do not say theirs. */
  readonly topic?: string | undefined;
};

/**
 * The messages of the command line, then those of the file: a line `{"topic": …, "payload": …}` is a message
 * (`receivedAt` in ms says when it arrived), any other line a payload by itself.
 *
 * @throws TidegateError FILE_UNREADABLE, RECORDING_INVALID when a payload has no topic
 */
export async function* messagesOf({ payloads, file, topic }: MessageSources): AsyncGenerator<TriedMessage> {
  for (const payload of payloads) {
    if (topic === undefined) throw new TidegateError("USAGE", { detail: "payloads need a topic: give --topic" });
    yield { topic, payload: Buffer.from(payload) };
  }
  if (file === undefined) return;
  for await (const { text, number } of readLines(file)) {
    const object = parse(text);
    const message = object && recordedMessage(object);
    if (message) {
      const { receivedAt } = object;
      yield { ...message, ...(typeof receivedAt === "number" ? { arrivedAt: receivedAt } : {}) };
    } else if (topic !== undefined) yield { topic, payload: Buffer.from(text) };
    else {
      const reason = 'it is no {"topic": …, "payload": …}, and no --topic is given for payloads alone';
      throw new TidegateError("RECORDING_INVALID", { file, line: number, reason });
    }
  }
}

function parse(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
