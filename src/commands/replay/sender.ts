import { TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import type { PublishAnswer, PublishOptions } from "../../wire/outgoing.ts";

type PublishingLink = {
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions): Promise<PublishAnswer>;
};

/** Messages under way at once: enough for any broker, little enough for memory. */
const maxFlying = 256;
const fullPauseMs = 10;
/** The broker took it, but nobody has subscribed. */
const unheardReason = 0x10;

/** Publishes as fast as the broker takes it, with a bounded number of messages under way, and counts the answers. */
export class Sender {
  readonly #link: PublishingLink;
  readonly #options: PublishOptions;
  readonly #signal: AbortSignal;
  #flying = 0;
  /** Whoever waits for fewer messages under way; the user's end wakes it, too. */
  #wake: () => void = () => {};
  #failure: unknown;
  readonly counts = { messages: 0, unheard: 0, refused: 0 };
  /** Refusals by the broker's reason code. */
  readonly reasons = new Map<number, number>();

  constructor(link: PublishingLink, options: PublishOptions, signal: AbortSignal) {
    this.#link = link;
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
  }

  /**
   * Hands a message over; resolves when there is room for the next. `payload` must not be changed afterwards.
   * @throws what an earlier message failed with: LINK_DOWN (QoS 0 alone), STOPPED
   */
  async send(topic: string, payload: string | Uint8Array): Promise<void> {
    this.#flying++;
    this.counts.messages++;
    void this.#publish(topic, payload).then(() => {
      this.#flying--;
      this.#wake();
    });
    await this.#atMost(maxFlying - 1);
  }

  /** Resolves when every message has its answer, or the user has had enough. */
  settled(): Promise<void> {
    return this.#atMost(0);
  }

  async #atMost(flying: number): Promise<void> {
    while (this.#flying > flying && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #publish(topic: string, payload: string | Uint8Array): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        const { reason } = await this.#link.publish(topic, payload, this.#options);
        if (reason === unheardReason) this.counts.unheard++;
        if (reason < 128) return;
        this.counts.refused++;
        this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
        return;
      } catch (thrown) {
        if (!(thrown instanceof TidegateError && thrown.code === "OUTGOING_FULL")) {
          this.#failure ??= thrown;
          return;
        }
        await sleep(fullPauseMs, this.#signal);
      }
    }
  }
}
