import type { MqttSubscription } from "../drivers/mqtt.ts";
import type { LinkSubscription } from "./link-options.ts";
import { isFilter, matchesFilter } from "./topics.ts";

export type SubscriptionPlan = { readonly unsubscribe: readonly string[]; readonly subscribe: MqttSubscription[] };

/** MQTT 5: when a broker sends what it retains; at every subscription, at a new one, never. */
const retainHandling = { each: 0, first: 1, ignore: 2 } as const;
/** Topics whose last retained message is remembered. */
const maxRetained = 4_096;

/**
 * What is to be subscribed, what the broker's session holds as far as is known, and what has to be said to bring the
 * second to the first. It also tells which retained messages are news.
 */
export class Subscriptions {
  #wanted: readonly LinkSubscription[];
  /** Filter to granted QoS; null: subscribed in an earlier life, with a QoS that is not known. */
  readonly #held = new Map<string, number | null>();
  readonly #refused = new Map<string, number>();
  /** Content of the last retained message that was taken, by topic; the oldest is forgotten first. */
  readonly #lastRetained = new Map<string, number>();

  constructor(wanted: readonly LinkSubscription[], former: readonly string[]) {
    this.#wanted = wanted;
    for (const topic of former) this.#held.set(topic, null);
  }

  want(wanted: readonly LinkSubscription[]): void {
    this.#wanted = wanted;
  }

  /** Filters that the broker would not grant, with its reason code. */
  get refused(): ReadonlyMap<string, number> {
    return this.#refused;
  }

  /** The broker has no session for us: nothing is subscribed. */
  forget(): void {
    this.#held.clear();
  }

  /**
   * @param isFresh  the connection is new: with MQTT 5 everything is said again, since that replays nothing; with 3.1.1
   *   a subscription that the session holds is left alone, since subscribing replays retained messages
   */
  plan(version: 4 | 5, isFresh: boolean): SubscriptionPlan {
    const wanted = this.#wanted.filter(({ topic }) => isFilter(topic));
    const topics = new Set(wanted.map(({ topic }) => topic));
    const isDue = ({ topic, qos, retained }: LinkSubscription) =>
      (isFresh && (version === 5 || retained === "each")) || this.#held.get(topic) !== qos;
    return {
      unsubscribe: [...this.#held.keys()].filter((topic) => !topics.has(topic)),
      subscribe: wanted
        .filter(isDue)
        .map(({ topic, qos, retained }) => ({ topic, qos, retainHandling: retainHandling[retained] })),
    };
  }

  /** The broker confirmed that this filter is gone. */
  dropped(topic: string): void {
    this.#held.delete(topic);
    this.#refused.delete(topic);
  }

  /** The broker's answer to one filter: the granted QoS, or a refusal from 128 on. */
  answered({ topic }: MqttSubscription, code: number): void {
    if (code < 128) {
      this.#held.set(topic, code);
      this.#refused.delete(topic);
    } else {
      this.#held.delete(topic);
      this.#refused.set(topic, code);
    }
  }

  /**
   * Tells whether a retained message is to be taken: somebody asked for it, and it is not the one that was taken last.
   * Brokers repeat retained messages with every new session.
   */
  takesRetained(topic: string, hash: number): boolean {
    const rules = this.#wanted.filter((one) => one.retained !== "ignore" && matchesFilter(one.topic, topic));
    if (rules.some(({ retained }) => retained === "each")) return true;
    if (rules.length === 0 || this.#lastRetained.get(topic) === hash) return false;
    this.#lastRetained.delete(topic);
    this.#lastRetained.set(topic, hash);
    if (this.#lastRetained.size > maxRetained) {
      for (const oldest of this.#lastRetained.keys()) {
        this.#lastRetained.delete(oldest);
        break;
      }
    }
    return true;
  }
}
