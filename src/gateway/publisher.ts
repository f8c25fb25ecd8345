import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Result } from "../base/result.ts";

/** What publishing needs of a link. */
export type PublishingLink = {
  publish(
    topic: string,
    payload: string,
    options: { qos: 0 | 1; retain: boolean },
  ): Promise<{ readonly reason: number }>;
};

export type PublisherOptions = {
  readonly link: PublishingLink;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  topicOf(result: Result): string;
  readonly log: Log;
};

/**
 * Publishes a stream's results on the site broker and knows which of them the broker has not confirmed: they are owed
 * again after a crash, so the stream's `inferred` cursor must not pass them.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  /** Sequence numbers of results on their way, in order; settled ones leave from the front. */
  #flying: { sequence: number; isSettled: boolean }[] = [];
  readonly counters = { published: 0, failed: 0 };

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Sequence number of the oldest reading whose result is not confirmed; Infinity when all are. */
  get oldest(): number {
    return this.#flying[0]?.sequence ?? Number.POSITIVE_INFINITY;
  }

  /** @param sequence  of the newest reading in the result's window */
  publish(result: Result, sequence: number): void {
    const { link, qos, retain, topicOf, log } = this.#options;
    const entry = { sequence, isSettled: qos === 0 };
    if (qos === 1) this.#flying.push(entry);
    link.publish(topicOf(result), JSON.stringify(result), { qos, retain }).then(
      () => {
        this.counters.published++;
        this.#settle(entry);
      },
      (thrown: unknown) => {
        // The link gives up only when it is stopped or its queue is full: then the result stays owed, or is counted.
        if (this.counters.failed++ === 0) log.warn({ reason: reasonOf(thrown) }, "a result could not be published");
        this.#settle(entry);
      },
    );
  }

  #settle(entry: { isSettled: boolean }): void {
    entry.isSettled = true;
    let settled = 0;
    while (this.#flying[settled]?.isSettled) settled++;
    if (settled > 0) this.#flying.splice(0, settled);
  }
}
