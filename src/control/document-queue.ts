import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

/** Documents that wait, and their bytes. */
const [maxWaiting, maxWaitingBytes] = [256, 4 * 2 ** 20];

/**
 * Deals with signed documents one after another, in the order in which they came. Whoever can reach a topic can send
 * there without end: beyond what may wait, they are let go.
 */
export class DocumentQueue {
  readonly #what: string;
  readonly #log: Log;
  #waiting = 0;
  #bytes = 0;
  #isOverfull = false;
  #last: Promise<void> = Promise.resolve();

  /** @param what  how its documents are called in the log */
  constructor(what: string, log: Log) {
    this.#what = what;
    this.#log = log;
  }

  /** Takes a document; the payload is copied at once. Resolves when it has been dealt with, or let go. */
  add(payload: Uint8Array, work: (envelope: Uint8Array) => Promise<void>): Promise<void> {
    const { length } = payload;
    if (this.#waiting >= maxWaiting || this.#bytes + length > maxWaitingBytes) {
      if (!this.#isOverfull) this.#log.warn({ what: this.#what, waiting: this.#waiting }, "too many documents wait");
      this.#isOverfull = true;
      return Promise.resolve();
    }
    const envelope = new Uint8Array(payload);
    this.#waiting++;
    this.#bytes += length;
    this.#last = this.#last
      .then(() => work(envelope))
      .catch((thrown: unknown) =>
        this.#log.error({ what: this.#what, reason: reasonOf(thrown) }, "a document could not be dealt with"),
      )
      .finally(() => {
        this.#bytes -= length;
        if (--this.#waiting === 0) this.#isOverfull = false;
      });
    return this.#last;
  }

  /** Resolves when all that wait have been dealt with. */
  get done(): Promise<void> {
    return this.#last;
  }
}
