import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Source } from "../base/frame.ts";
import { type DeadLetter, deadPayloadBytes } from "./dead-letter.ts";
import type { Intake } from "./intake.ts";

type Route = { readonly intake: Intake; readonly source: Source };

/** Topics whose routes are remembered; sites have few, and whoever makes up topics gets no memory for it. */
const maxRemembered = 65_536;

/** Brings each message to the streams that take its topic. */
export class Router {
  readonly #intakes: readonly Intake[];
  readonly #routes = new Map<string, readonly Route[]>();
  readonly #onDead: (letter: DeadLetter) => void;
  readonly #clock: Clock;
  readonly counters = { unknownTopic: 0, own: 0 };

  constructor(intakes: readonly Intake[], clock: Clock, onDead: (letter: DeadLetter) => void) {
    this.#intakes = intakes;
    this.#clock = clock;
    this.#onDead = onDead;
  }

  /** Takes one message. The payload is valid during the call only. */
  accept(topic: string, payload: Uint8Array, isRepeat: "no" | "maybe" | "certain" = "no"): void {
    let routes = this.#routes.get(topic);
    if (!routes) {
      routes = this.#find(topic);
      if (this.#routes.size >= maxRemembered) this.#routes.clear();
      this.#routes.set(topic, routes);
    }
    for (const { intake, source } of routes) intake.accept(topic, source, payload, isRepeat);
    if (routes.length === 0) this.#reject(topic, payload);
  }

  #find(topic: string): Route[] {
    // What the gateway says itself must never come back in as a reading.
    if (isOwn(topic)) return [];
    return this.#intakes.flatMap((intake) => {
      const source = intake.match(topic);
      return source ? [{ intake, source }] : [];
    });
  }

  #reject(topic: string, payload: Uint8Array): void {
    if (isOwn(topic)) {
      this.counters.own++;
      return;
    }
    this.counters.unknownTopic++;
    const error = new TidegateError("TOPIC_UNKNOWN");
    this.#onDead({
      stream: null,
      topic,
      payload: payload.slice(0, deadPayloadBytes),
      size: payload.length,
      code: error.code,
      reason: error.message,
      receivedAt: this.#clock.now(),
    });
  }
}

const isOwn = (topic: string): boolean => topic.startsWith("tidegate/");
