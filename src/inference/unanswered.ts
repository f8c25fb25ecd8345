import { reasonOf, TidegateError } from "../base/errors.ts";
import { decodeBody, type FrameHead, frameKinds } from "./framing.ts";
import type { HostedModel } from "./hosted-model.ts";

/** A frame to the model process, and who waits for its answer. */
export type Request = {
  readonly id: number;
  readonly kind: number;
  readonly model: HostedModel;
  readonly frame: Uint8Array;
  readonly timeoutMs: number;
  /** The loading of a model into a new process: the process after that gets its own. */
  readonly isReload: boolean;
  sentAt: number;
  /** Takes the answer's body, which is valid during the call only. */
  readonly take: (body: Uint8Array) => void;
  readonly fail: (error: TidegateError) => void;
};

/** What was sent and not answered, in order. Bounded by the callers: two batches and a few loads. */
export class Unanswered {
  #requests: Request[] = [];
  #lastId = 0;

  get length(): number {
    return this.#requests.length;
  }

  /** The oldest, which is the one that runs. */
  get running(): Request | undefined {
    return this.#requests[0];
  }

  /** An id that no waiting request has: uint32, never 0. */
  nextId(): number {
    this.#lastId = (this.#lastId % 0xffff_fffe) + 1;
    return this.#lastId;
  }

  push(request: Request): void {
    this.#requests.push(request);
  }

  /** Hands an answer to whoever waits for it. @throws TidegateError BUG when it is not the oldest one's */
  answer(head: FrameHead, body: Uint8Array): void {
    const request = this.running;
    if (request?.id !== head.id) throw new TidegateError("BUG", { detail: "the model process answered out of order" });
    this.#requests.shift();
    try {
      if (head.kind === frameKinds.failed) request.fail(TidegateError.from(decodeBody(body) as { code: string }));
      else request.take(body);
    } catch (thrown) {
      // An answer that cannot be read must not leave its caller waiting.
      request.fail(thrown instanceof TidegateError ? thrown : new TidegateError("BUG", { detail: reasonOf(thrown) }));
    }
  }

  /** Takes all of them out. */
  splice(): Request[] {
    return this.#requests.splice(0);
  }
}
