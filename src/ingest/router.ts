import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Repeat } from "../wire/link-redelivery.ts";
import { type DeadLetter, deadLetter } from "./dead-letter.ts";
import type { Intake } from "./intake.ts";
import type { Origin } from "./source-table.ts";
import { isReserved, maxTopicLength, topicFault } from "./topic-pattern.ts";

/** One way of a topic: a stream that takes it, and what it stands for there. */
export type Route = { readonly intake: Intake; readonly origin: Origin };

/**
 * What the memory of routes may take, in characters of topics and a flat amount for each: a site's topics fit many
 * times over, and whoever makes up topics gets no more.
 */
const maxRemembered = 32 * 2 ** 20;
const routeSize = 250;

/** Brings each message to the streams that take its topic. */
export class Router {
  readonly #intakes: readonly Intake[];
  readonly #onDead: (letter: DeadLetter) => void;
  readonly #clock: Clock;
  readonly #routes = new Map<string, readonly Route[]>();
  #remembered = 0;
  /**
   * Messages that no stream took. own: the gateway's and the broker's own topics; excluded: a filter brought them
   * along; unknown: nobody asked for them.
   */
  readonly counters = { own: 0, excluded: 0, unknown: 0 };

  constructor(intakes: readonly Intake[], clock: Clock, onDead: (letter: DeadLetter) => void) {
    this.#intakes = intakes;
    this.#clock = clock;
    this.#onDead = onDead;
  }

  /** Topics whose routes are in memory. */
  get remembered(): number {
    return this.#routes.size;
  }

  /** The streams that take a topic; looked up once, then remembered. */
  route(topic: string): readonly Route[] {
    const known = this.#routes.get(topic);
    if (known) return known;
    const routes = this.#intakes.flatMap((intake) => {
      const origin = intake.originOf(topic);
      return origin ? [{ intake, origin }] : [];
    });
    if (topic.length <= maxTopicLength) this.#remember(topic, routes);
    return routes;
  }

  /** Takes one message. The payload is valid during the call only. */
  accept(topic: string, payload: Uint8Array, repeat: Repeat, qos: number): void {
    const routes = this.route(topic);
    for (let i = 0; i < routes.length; i++) {
      const { intake, origin } = routes[i] as Route;
      intake.accept(origin, payload, repeat, qos);
    }
    if (routes.length === 0) this.#leave(topic, payload);
  }

  #remember(topic: string, routes: readonly Route[]): void {
    const size = topic.length + routeSize * (1 + routes.length);
    if (this.#remembered + size > maxRemembered) {
      this.#routes.clear();
      this.#remembered = 0;
    }
    this.#routes.set(topic, routes);
    this.#remembered += size;
  }

  #leave(topic: string, payload: Uint8Array): void {
    if (isReserved(topic)) {
      this.counters.own++;
      return;
    }
    const fault = topicFault(topic);
    if (fault === null && this.#intakes.some((intake) => intake.pattern.covers(topic))) {
      this.counters.excluded++;
      return;
    }
    this.counters.unknown++;
    const error = fault ? new TidegateError("TOPIC_UNUSABLE", { reason: fault }) : new TidegateError("TOPIC_UNKNOWN");
    this.#onDead(deadLetter(null, topic, payload, error, this.#clock.now()));
  }
}
