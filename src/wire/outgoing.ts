import { TidegateError } from "../base/errors.ts";

export type PublishOptions = {
  readonly qos: 0 | 1;
  readonly retain?: boolean;
  readonly contentType?: string;
};

/** The broker's answer. 0: delivered to its subscribers; 16 (0x10): nobody has subscribed; from 128 on: refused. */
export type PublishAnswer = { readonly reason: number };

type Item = {
  readonly topic: string;
  readonly payload: string | Buffer;
  readonly options: PublishOptions;
  readonly size: number;
  readonly resolve: (answer: PublishAnswer) => void;
  readonly reject: (error: Error) => void;
};

/** What can be written to. `MqttConnection` fits. */
export type Wire = {
  publish(
    topic: string,
    payload: string | Buffer,
    options: { qos: 0 | 1; retain: boolean; contentType?: string | undefined },
    done?: (code: number, reason: string) => void,
  ): void;
};

const maxMessages = 16_384;
const maxBytes = 32 * 2 ** 20;
/** QoS 1 messages under way at once, however many the broker would take. */
const maxFlying = 512;

/**
 * Messages on their way to the broker, in order. QoS 1 messages whose answer had not come when a connection ended go
 * out again on the next; QoS 0 messages are not kept for it.
 */
export class Outgoing {
  #waiting: Item[] = [];
  #flying = new Set<Item>();
  #bytes = 0;
  #wire: Wire | undefined;
  #window = maxFlying;
  readonly counters = { published: 0, refused: 0, lost: 0 };

  get queued(): number {
    return this.#waiting.length + this.#flying.size;
  }

  /** @throws TidegateError OUTGOING_FULL, LINK_DOWN (QoS 0 without a connection), STOPPED: as rejections */
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions): Promise<PublishAnswer> {
    const body =
      typeof payload === "string" ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    if (options.qos === 0) return this.#publishNow(topic, body, options);
    const size = topic.length + body.length;
    if (this.queued >= maxMessages || this.#bytes + size > maxBytes) {
      this.counters.lost++;
      return Promise.reject(new TidegateError("OUTGOING_FULL", { limit: maxMessages }));
    }
    return new Promise((resolve, reject) => {
      this.#bytes += size;
      this.#waiting.push({ topic, payload: body, options, size, resolve, reject });
      this.#pump();
    });
  }

  #publishNow(
    topic: string,
    payload: string | Buffer,
    { retain = false, contentType }: PublishOptions,
  ): Promise<PublishAnswer> {
    if (!this.#wire) {
      this.counters.lost++;
      return Promise.reject(new TidegateError("LINK_DOWN"));
    }
    this.#wire.publish(topic, payload, { qos: 0, retain, contentType });
    this.counters.published++;
    return Promise.resolve({ reason: 0 });
  }

  /** A connection is there: what waits goes out. @param window  QoS 1 messages that the broker takes at once */
  open(wire: Wire, window: number): void {
    this.#wire = wire;
    this.#window = Math.min(maxFlying, window);
    this.#pump();
  }

  /** The connection has gone: what had no answer waits again, before everything else. */
  close(): void {
    this.#wire = undefined;
    this.#waiting = [...this.#flying, ...this.#waiting];
    this.#flying = new Set();
  }

  /** Nothing goes out any more. */
  end(): void {
    this.close();
    for (const { reject } of this.#waiting.splice(0)) reject(new TidegateError("STOPPED", { what: "the link" }));
    this.#bytes = 0;
  }

  #pump(): void {
    let taken = 0;
    while (this.#wire && taken < this.#waiting.length && this.#flying.size < this.#window) {
      const item = this.#waiting[taken++] as Item;
      const wire = this.#wire;
      this.#flying.add(item);
      const { qos, retain = false, contentType } = item.options;
      wire.publish(item.topic, item.payload, { qos, retain, contentType }, (code) => {
        // An answer of a connection that has gone answers nothing: the message went out again.
        if (this.#wire !== wire || !this.#flying.delete(item)) return;
        this.#bytes -= item.size;
        if (code >= 128) this.counters.refused++;
        else this.counters.published++;
        item.resolve({ reason: code });
        this.#pump();
      });
    }
    if (taken > 0) this.#waiting.splice(0, taken);
  }
}
