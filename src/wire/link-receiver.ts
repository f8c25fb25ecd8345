import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { MqttMessage } from "../drivers/mqtt.ts";
import { AckGate } from "./ack-gate.ts";
import type { LinkMessage } from "./link-options.ts";
import { contentHash, Redelivery, type Repeat } from "./link-redelivery.ts";
import type { Subscriptions } from "./link-subscriptions.ts";

export type ReceiverOptions = {
  readonly name: string;
  readonly isGated: boolean;
  readonly ownPrefix: string | undefined;
  readonly subscriptions: Subscriptions;
  /** Writes PUBACKs, in this order. */
  acknowledge(packetIds: Uint16Array): void;
  /** Messages that may be held before nothing more is read. */
  readonly maxHeld: number;
  /** What is held has become less again. */
  onRoom(): void;
  onMessage(message: LinkMessage): void;
  readonly clock: Clock;
  readonly log: Log;
};

const faultLogMs = 10_000;
const noPayload = new Uint8Array(0);

/**
 * What comes in over all connections of a link: decides what is handed on, and holds its acknowledgement. The path of a
 * message allocates nothing: the one that is handed on is always the same object.
 */
export class Receiver {
  readonly #options: ReceiverOptions;
  readonly #gate: AckGate;
  readonly #redelivery = new Redelivery();
  readonly #message: { -readonly [key in keyof LinkMessage]: LinkMessage[key] } = {
    ...{ topic: "", payload: noPayload, qos: 0, retain: false, repeat: "no" },
  };
  #faultLoggedAt = Number.NEGATIVE_INFINITY;
  #isPaused = false;
  readonly counters = { received: 0, retainedIgnored: 0, ownIgnored: 0, repeats: 0, faults: 0 };

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#gate = new AckGate(options.acknowledge);
  }

  get held(): number {
    return this.#gate.held;
  }

  get lastTicket(): number {
    return this.#gate.lastTicket;
  }

  release(ticket: number): void {
    if (this.#gate.release(ticket) > 0 && this.#hasRoom) this.#options.onRoom();
  }

  /** Nothing more is taken after the next message, until `resume`. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#hasRoom) this.#options.onRoom();
  }

  /** A broker keeps to the window that it was told; mosquitto 2.0 sends a whole window more for each acknowledgement. */
  get #hasRoom(): boolean {
    return !this.#isPaused && this.#gate.held <= this.#options.maxHeld && !this.#gate.isFull;
  }

  /** The connection has gone: what it held can only be recognised when it comes again. */
  discard(): void {
    this.#gate.discard((packetId, hash) => this.#redelivery.remember(packetId, hash));
  }

  /** The broker began a new session. */
  forget(): void {
    this.#redelivery.forget();
  }

  /** Returns whether more may be read: false while too many are held, and during a pause. */
  receive({ topic, payload: body, qos, retain, dup, messageId = 0 }: MqttMessage): boolean {
    const { isGated, ownPrefix, subscriptions } = this.#options;
    this.counters.received++;
    const payload = typeof body === "string" ? Buffer.from(body) : body;
    const mustAcknowledge = isGated && qos === 1;
    const hash = mustAcknowledge || retain ? contentHash(topic, payload) : 0;
    const isOwn = ownPrefix !== undefined && topic.startsWith(ownPrefix);
    if (isOwn || (retain && !subscriptions.takesRetained(topic, hash))) {
      if (isOwn) this.counters.ownIgnored++;
      else this.counters.retainedIgnored++;
      if (mustAcknowledge) this.#gate.pass(messageId, hash);
      return this.#hasRoom;
    }
    let repeat: Repeat = "no";
    if (mustAcknowledge) {
      repeat = this.#redelivery.judge(messageId, dup, hash);
      if (repeat === "certain") this.counters.repeats++;
      this.#gate.hold(messageId, hash);
    } else if (dup) repeat = "maybe";
    this.#handOn(topic, payload, qos, retain, repeat);
    return this.#hasRoom;
  }

  #handOn(topic: string, payload: Uint8Array, qos: number, retain: boolean, repeat: Repeat): void {
    const message = this.#message;
    message.topic = topic;
    message.payload = payload;
    message.qos = qos === 0 ? 0 : 1;
    message.retain = retain;
    message.repeat = repeat;
    try {
      this.#options.onMessage(message);
    } catch (thrown) {
      this.#fault(thrown);
    }
    message.payload = noPayload;
  }

  /** A fault may come with every message: it is counted each time and logged now and then. */
  #fault(thrown: unknown): void {
    const { clock, log, name } = this.#options;
    this.counters.faults++;
    if (clock.monotonic() - this.#faultLoggedAt < faultLogMs) return;
    this.#faultLoggedAt = clock.monotonic();
    const facts = { link: name, reason: reasonOf(thrown), faults: this.counters.faults };
    log.error(facts, "a message was not taken");
  }
}
