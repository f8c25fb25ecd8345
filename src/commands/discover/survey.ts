import { isReserved, topicFault } from "../../ingest/topic-pattern.ts";
import { emptyShape, observe, type Shape } from "./shape.ts";

/** What was heard of one topic. */
export type Heard = {
  readonly topic: string;
  messages: number;
  /** Retained messages among them: the last value, however old. */
  retained: number;
  readonly shape: Shape;
  /** Why no stream is proposed for it; null when one is. */
  fault: string | null;
};

/** More topics than these are counted, not looked at. */
const maxTopics = 10_000;
/** Later payloads of a topic tell nothing new. */
const maxLooks = 32;
/** Larger payloads are media, or not meant to be read message by message. */
const maxBytes = 256 * 1024;

/** Listens and remembers what payloads of each topic look like. */
export class Survey {
  readonly #heard = new Map<string, Heard>();
  messages = 0;
  /** Messages of topics beyond the limit. */
  beyond = 0;

  get topics(): readonly Heard[] {
    return [...this.#heard.values()];
  }

  /** @param payload  valid during the call only */
  take(topic: string, payload: Uint8Array, isRetained: boolean): void {
    if (isReserved(topic) || topicFault(topic) !== null) return;
    this.messages++;
    let heard = this.#heard.get(topic);
    if (!heard) {
      if (this.#heard.size >= maxTopics) {
        this.beyond++;
        return;
      }
      heard = { topic, messages: 0, retained: 0, shape: emptyShape(), fault: null };
      this.#heard.set(topic, heard);
    }
    heard.messages++;
    if (isRetained) heard.retained++;
    if (heard.messages <= maxLooks) heard.fault = look(heard.shape, payload);
  }
}

/** Adds a payload to a shape; why it cannot be taken, or null. One that was understood once stays so. */
function look(shape: Shape, payload: Uint8Array): string | null {
  const isKnown = shape.fields.size > 0;
  if (payload.length === 0) return isKnown ? null : "empty";
  if (payload.length > maxBytes) return isKnown ? null : `${payload.length} bytes`;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return isKnown ? null : "not JSON";
  }
  return observe(shape, value) ? null : "no numbers in it";
}
