import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Source } from "../base/frame.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";

/** What publishing needs of a link. */
export type PublishingLink = {
  /** QoS 0. Returns null, or why it is lost. */
  send(topic: string, payload: string, options: { qos: 0; retain: boolean }): string | null;
  publish(
    topic: string,
    payload: Buffer,
    options: { qos: 0 | 1; retain: boolean },
  ): Promise<{ readonly reason: number }>;
};

export type PublisherOptions = {
  readonly link: PublishingLink;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  topicOf(source: Source): string;
  readonly log: Log;
};

type Owed = {
  readonly sequence: number;
  readonly isDisordered: boolean;
  readonly topic: string;
  readonly payload: Buffer;
  isSettled: boolean;
};

/** With the link at a time: as many as it has under way, and less than it queues for all streams. */
const maxFlying = 8_192;
/** Settled results that are left standing before they are moved out of the way. */
const maxSettled = 8_192;
/** Results that a source that can wait, like a replay, leaves standing. */
const maxReplayed = 4_096;
/**
 * What is beyond is given up and counted. To let readings wait for results instead would lock up: a link that holds too
 * many of them reads nothing more, the broker's answers to results neither.
 */
const maxWaitingBytes = 64 * 2 ** 20;
const retryMs = 100;

/**
 * Publishes a stream's results on the site broker, in order, and knows which of them the broker has not confirmed: they
 * are owed again after a crash, so the stream's `inferred` cursor must not pass them.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  /** Results that are owed, in order, from `#first` on; those from `#next` on have not been given to the link. */
  #owed: Owed[] = [];
  #first = 0;
  #next = 0;
  #bytes = 0;
  /** The highest sequence number so far, and how many unsettled results came after one that was higher than theirs. */
  #highest = -1;
  #disordered = 0;
  #roomless: (() => void)[] = [];
  readonly #topics = new WeakMap<Source, string>();
  readonly counters = { published: 0, failed: 0 };

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Sequence number of the oldest reading whose result is not confirmed; Infinity when all are. */
  get oldest(): number {
    let oldest = this.#owed[this.#first]?.sequence ?? Number.POSITIVE_INFINITY;
    if (this.#disordered === 0) return oldest;
    for (let at = this.#first; at < this.#owed.length; at++) {
      const { sequence, isSettled } = this.#owed[at] as Owed;
      if (!isSettled && sequence < oldest) oldest = sequence;
    }
    return oldest;
  }

  /** Resolves when few results are owed. Not at all while there is no broker to take them. */
  room(): Promise<void> {
    if (this.#hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.#roomless.push(resolve));
  }

  get #hasRoom(): boolean {
    return this.#owed.length - this.#first <= maxReplayed;
  }

  /**
   * @param payload  the result as JSON
   * @param sequence  of the newest reading in its window
   */
  publish(source: Source, payload: string, sequence: number): void {
    const { link, qos, retain } = this.#options;
    const topic = this.#topicOf(source);
    if (qos === 0) {
      const fault = link.send(topic, payload, { qos, retain });
      if (fault === null) this.counters.published++;
      else this.#fail(fault);
      return;
    }
    if (this.#bytes > maxWaitingBytes) {
      this.#fail("too many results wait");
      return;
    }
    // As bytes: the text is a tree of its pieces still, and tens of thousands of them may wait.
    const bytes = Buffer.from(payload);
    this.#bytes += bytes.length;
    // With several sources on a grid the result of an older reading may come after that of a newer one.
    if (sequence < this.#highest) this.#disordered++;
    else this.#highest = sequence;
    this.#owed.push({ sequence, isDisordered: sequence < this.#highest, topic, payload: bytes, isSettled: false });
    this.#pump();
  }

  #topicOf(source: Source): string {
    const known = this.#topics.get(source);
    if (known !== undefined) return known;
    const topic = this.#options.topicOf(source);
    this.#topics.set(source, topic);
    return topic;
  }

  #pump(): void {
    while (this.#next < this.#owed.length && this.#next - this.#first < maxFlying)
      this.#send(this.#owed[this.#next++] as Owed);
  }

  #send(owed: Owed): void {
    const { link, retain } = this.#options;
    link.publish(owed.topic, owed.payload, { qos: 1, retain }).then(
      ({ reason }) => {
        if (reason < 128) this.counters.published++;
        else this.#fail(`the broker refuses it (${reason})`);
        this.#settle(owed);
      },
      (thrown: unknown) => {
        // A link that has stopped leaves the result owed. One whose queue is full has room for it later.
        const code = thrown instanceof TidegateError ? thrown.code : "";
        if (code === "OUTGOING_FULL") setTimeout(() => this.#send(owed), retryMs).unref();
        else if (code !== "STOPPED") {
          this.#fail(reasonOf(thrown));
          this.#settle(owed);
        }
      },
    );
  }

  #fail(reason: string): void {
    if (this.counters.failed++ === 0) this.#options.log.warn({ reason }, "a result could not be published");
  }

  #settle(owed: Owed): void {
    owed.isSettled = true;
    if (owed.isDisordered) this.#disordered--;
    for (let oldest = this.#owed[this.#first]; oldest?.isSettled; oldest = this.#owed[++this.#first])
      this.#bytes -= oldest.payload.length;
    // Now and then only: to take each from the front would move all that wait behind it.
    if (this.#first === this.#owed.length || this.#first >= maxSettled) {
      this.#owed.splice(0, this.#first);
      this.#next -= this.#first;
      this.#first = 0;
    }
    this.#pump();
    if (this.#hasRoom) for (const resolve of this.#roomless.splice(0)) resolve();
  }
}

/** Resolves when the broker has confirmed all that these paths published, or at `end` (monotonic ms). */
export async function confirmed(
  paths: Iterable<{ readonly publisher: Publisher }>,
  clock: Clock,
  end = Number.POSITIVE_INFINITY,
): Promise<void> {
  for (const { publisher } of paths)
    while (publisher.oldest < Number.POSITIVE_INFINITY && clock.monotonic() < end) await sleep(5);
}
