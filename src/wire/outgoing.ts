import { TidegateError } from "../base/errors.ts";
import { isTopic } from "./topics.ts";

export type PublishOptions = {
  readonly qos: 0 | 1;
  readonly retain?: boolean;
  readonly contentType?: string;
};

/** The broker's answer. 0: taken; 16 (0x10): taken, but nobody has subscribed; from 128 on: refused. */
export type PublishAnswer = { readonly reason: number };

type Item = {
  readonly topic: string;
  readonly payload: string | Buffer;
  readonly options: { qos: 0 | 1; retain: boolean; contentType: string | undefined };
  readonly size: number;
  readonly resolve: (answer: PublishAnswer) => void;
  readonly reject: (error: Error) => void;
};

/** What can be written to. `MqttConnection` fits. */
export type Wire = {
  /** Bytes that were written but have not left yet. */
  readonly unsent: number;
  publish(
    topic: string,
    payload: string | Uint8Array,
    options: { qos: 0 | 1; retain: boolean; contentType?: string | undefined },
    done?: (code: number) => void,
  ): void;
};

const maxMessages = 16_384;
const maxBytes = 32 * 2 ** 20;
/**
 * QoS 1 messages under way at once, however many the broker would take. It answers in line with what it sends: behind a
 * flood of messages each round takes long, and a few hundred a round would never keep up with the results of that flood.
 */
const maxFlying = 8_192;
/** What a packet has besides topic and payload, at most (as sent here), bytes. */
const headRoom = 256;
const delivered: PublishAnswer = Object.freeze({ reason: 0 });
const nothing = () => {};

/**
 * Messages on their way to the broker, in order. QoS 1 messages whose answer had not come when a connection ended go
 * out again on the next, before everything else; QoS 0 messages are not kept for it. Payloads must not be changed until
 * the answer is there.
 */
export class Outgoing {
  /** Those before `#next` have gone out or been given up. */
  #waiting: Item[] = [];
  #next = 0;
  /** In the order of sending. */
  #flying = new Set<Item>();
  #bytes = 0;
  #wire: Wire | undefined;
  #window = maxFlying;
  #maxPacket = Number.POSITIVE_INFINITY;
  #isOver = false;
  #isPumpDue = false;
  #idle: (() => void)[] = [];
  readonly counters = { published: 0, refused: 0, lost: 0 };

  get queued(): number {
    return this.#waiting.length - this.#next + this.#flying.size;
  }

  /** Publishes with QoS 0: now, or never. Returns null, or why it is lost. */
  send(topic: string, payload: string | Uint8Array, head: PublishOptions): string | null {
    const fault = this.#trySend(topic, payload, head);
    return typeof fault === "number" ? `the broker would refuse it (${fault})` : fault;
  }

  #trySend(topic: string, payload: string | Uint8Array, { retain = false, contentType }: PublishOptions) {
    const fault = this.#sendFault(topic, topic.length + payload.length);
    if (fault === null) {
      this.#wire?.publish(topic, payload, { qos: 0, retain, contentType });
      this.counters.published++;
    } else if (typeof fault === "number") this.counters.refused++;
    else this.counters.lost++;
    return fault;
  }

  /** An error's code, or the reason for which the broker would refuse it. */
  #sendFault(topic: string, size: number): "STOPPED" | "LINK_DOWN" | "OUTGOING_FULL" | 144 | 149 | null {
    if (!isTopic(topic)) return 144;
    if (this.#isOver) return "STOPPED";
    if (!this.#wire) return "LINK_DOWN";
    if (this.#wire.unsent + size > maxBytes) return "OUTGOING_FULL";
    return size + headRoom > this.#maxPacket ? 149 : null;
  }

  /** Rejects with OUTGOING_FULL, LINK_DOWN (QoS 0 without a connection) or STOPPED. */
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions): Promise<PublishAnswer> {
    const body =
      typeof payload === "string" || Buffer.isBuffer(payload)
        ? payload
        : Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const { qos, retain = false, contentType } = options;
    if (qos === 0) {
      const fault = this.#trySend(topic, payload, options);
      if (typeof fault === "string") return rejected(fault);
      return Promise.resolve(fault === null ? delivered : { reason: fault });
    }
    const size = topic.length + body.length;
    // A broker closes the connection over such a message, and it would come back with every new one.
    if (!isTopic(topic)) return this.#refuse(144);
    if (this.#isOver) return this.#lose("STOPPED");
    if (this.#bytes + size > maxBytes || this.queued >= maxMessages) return this.#lose("OUTGOING_FULL");
    return new Promise((resolve, reject) => {
      this.#bytes += size;
      this.#waiting.push({ topic, payload: body, options: { qos, retain, contentType }, size, resolve, reject });
      this.#pump();
    });
  }

  /**
   * A connection is there: what waits goes out.
   * @param limits  QoS 1 messages that the broker takes at once, and the largest packet, bytes
   */
  open(wire: Wire, { window, maxPacket }: { window: number; maxPacket: number }): void {
    this.#wire = wire;
    this.#maxPacket = maxPacket;
    this.#window = Math.max(1, Math.min(maxFlying, window));
    this.#pump();
  }

  /** The connection has gone: what had no answer waits again, before everything else. */
  close(): void {
    this.#wire = undefined;
    this.#waiting = [...this.#flying, ...this.#waiting.slice(this.#next)];
    this.#next = 0;
    this.#flying = new Set();
  }

  /** Resolves when every message has its answer, or when the link ends. */
  drained(): Promise<void> {
    return this.queued === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Messages are taken; so they are before the first `end`. */
  begin(): void {
    this.#isOver = false;
  }

  /** Nothing goes out any more: what waits is rejected. */
  end(): void {
    this.#isOver = true;
    this.close();
    for (const { reject } of this.#waiting.splice(0)) reject(new TidegateError("STOPPED", { what: "the link" }));
    this.#bytes = 0;
    this.#rest();
  }

  #refuse(reason: number): Promise<PublishAnswer> {
    this.counters.refused++;
    return Promise.resolve({ reason });
  }

  #lose(code: "OUTGOING_FULL" | "STOPPED"): Promise<never> {
    this.counters.lost++;
    return rejected(code);
  }

  #pump(): void {
    const wire = this.#wire;
    while (wire && this.#next < this.#waiting.length && this.#flying.size < this.#window) {
      const item = this.#waiting[this.#next++] as Item;
      if (item.size + headRoom > this.#maxPacket) {
        this.#settle(item, 149);
        continue;
      }
      this.#flying.add(item);
      wire.publish(item.topic, item.payload, item.options, (code) => this.#answered(wire, item, code));
    }
    // Taking each from the front would move all that wait behind it.
    if (this.#next === this.#waiting.length || this.#next > 1_024) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    if (this.queued === 0) this.#rest();
  }

  #answered(wire: Wire, item: Item, code: number): void {
    // An answer of a connection that has gone answers nothing: the message went out again.
    if (this.#wire !== wire || !this.#flying.delete(item)) return;
    this.#settle(item, code);
    if (this.queued === 0) this.#rest();
    else if (this.#next < this.#waiting.length && !this.#isPumpDue) {
      // Answers come many at a time: what they make room for goes out in one write.
      this.#isPumpDue = true;
      setImmediate(() => {
        this.#isPumpDue = false;
        this.#pump();
      });
    }
  }

  #settle(item: Item, code: number): void {
    this.#bytes -= item.size;
    if (code >= 128) this.counters.refused++;
    else this.counters.published++;
    item.resolve(code === 0 ? delivered : { reason: code });
  }

  #rest(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function rejected(code: "OUTGOING_FULL" | "LINK_DOWN" | "STOPPED"): Promise<never> {
  const lost = Promise.reject(new TidegateError(code, { limit: maxMessages, what: "the link" }));
  // Whoever does not look at the answer must not bring the process down.
  lost.catch(nothing);
  return lost;
}
