import { Worker } from "node:worker_threads";
import type { ErasureRequest } from "../base/erasure-request.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { type Component, within } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { type AuditCheck, type AuditHead, type AuditRow, checkAudit } from "./audit-rows.ts";
import type { BufferStats, Commit, KeptLetter, OutboxEntry, OutboxLane, Range, StreamState } from "./commit.ts";
import type { Erasure, ErasureFacts, ErasureNotice, KeptErasure } from "./erasure.ts";
import type { Answer, Question, StoreCall } from "./journal-thread.ts";
import type { Store, StoreEvent, StoreOptions } from "./store.ts";

export type JournalOptions = Omit<StoreOptions, "synchronous"> & {
  readonly synchronous?: "FULL" | "OFF";
  readonly log: Log;
  /** Something was lost, set apart or made room for. */
  onEvent?(event: StoreEvent): void;
};

const entry = new URL(`./journal-thread.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url);
const openTimeoutMs = 60_000;
const firstRestartMs = 250;
const maxRestartMs = 30_000;

type Waiting = { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void };

/**
 * The journal, from the main thread: what a site's sensors said, durable and sealed, and how far it was worked on.
 * Calls are answered in order by one thread of its own; a resolved `commit` has been fsynced.
 */
export class Journal implements Component {
  readonly name = "journal";
  readonly #options: JournalOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;
  #commits = 0;
  #answers = 0;
  #restarts = 0;
  #isStopped = true;
  #restart: NodeJS.Timeout | undefined;
  /** Pause before the next thread: a disk that opens and then takes no commit wears out one thread after the other. */
  #restartMs = firstRestartMs;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** @throws TidegateError DATA_DIR_IN_USE, KEY_WRONG, STORAGE_UNREADABLE, STORAGE_FAILED */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#isStopped = false;
    await this.#open();
  }

  async #open(): Promise<void> {
    const { log: _log, onEvent: _onEvent, ...rest } = this.#options;
    const options: StoreOptions = { synchronous: "FULL", ...rest };
    const ready = Promise.withResolvers<void>();
    const worker = new Worker(entry, { workerData: options });
    let reason = "it has ended";
    worker.on("message", (answer: Answer) => {
      if ("event" in answer && answer.event.event === "ready") ready.resolve();
      else if ("error" in answer && answer.id === -1) ready.reject(TidegateError.from(answer.error));
      else this.#receive(answer);
    });
    worker.on("error", (error) => {
      reason = error.message;
      // Before it is ready this is no fault of the disk: those it tells itself.
      ready.reject(
        new TidegateError("BUG", { detail: `the journal thread does not start: ${reason}` }, { cause: error }),
      );
    });
    worker.on("exit", () => {
      ready.reject(lost(reason));
      this.#lose(worker, reason);
    });
    try {
      await within(ready.promise, openTimeoutMs, "opening the journal");
    } catch (thrown) {
      await worker.terminate();
      throw thrown;
    }
    if (this.#isStopped) await worker.terminate();
    else this.#worker = worker;
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (!worker) return;
    try {
      await within(this.#call("close"), deadlineMs, "closing the journal");
    } finally {
      this.#worker = undefined;
      await worker.terminate();
    }
  }

  /** Grows with every answer of the thread: what liveness is proven by. */
  get progress() {
    return {
      commits: this.#commits,
      answers: this.#answers,
      waiting: this.#waiting.size,
      /** How often the thread was lost and another took over. */
      restarts: this.#restarts,
    };
  }

  stateOf(stream: string): Promise<StreamState> {
    return this.#call("stateOf", stream) as Promise<StreamState>;
  }

  /**
   * Writes a commit: all of it or nothing. The arrays stay the caller's.
   * @throws TidegateError STORAGE_FAILED
   */
  async commit(commit: Commit): Promise<void> {
    await this.#call("commit", commit);
    this.#commits++;
    this.#restartMs = firstRestartMs;
  }

  /** At least `limit` readings when there are so many, at most a block more. */
  read(stream: string, range: Range): Promise<Frame[]> {
    return this.#call("read", stream, range) as Promise<Frame[]>;
  }

  outboxAfter(lane: OutboxLane, n: number, limit: number, maxBytes: number): Promise<OutboxEntry[]> {
    return this.#call("outboxAfter", lane, n, limit, maxBytes) as Promise<OutboxEntry[]>;
  }

  /** The sink has everything of a lane up to number `n`. */
  async outboxReceipt(lane: OutboxLane, n: number): Promise<void> {
    await this.#call("receipt", lane, n);
  }

  snapshot(stream: string, name: string): Promise<{ sequence: number; bytes: Uint8Array } | null> {
    return this.#call("snapshot", stream, name) as Promise<{ sequence: number; bytes: Uint8Array } | null>;
  }

  /** Dead letters, newest first. */
  dead(limit: number, before?: number): Promise<(KeptLetter & { id: number })[]> {
    return this.#call("dead", limit, before) as Promise<(KeptLetter & { id: number })[]>;
  }

  removeDead(ids: readonly number[] | "all"): Promise<number> {
    return this.#call("removeDead", ids) as Promise<number>;
  }

  stateGet(name: string): Promise<Uint8Array | null> {
    return this.#call("stateGet", name) as Promise<Uint8Array | null>;
  }

  async statePut(name: string, value: Uint8Array): Promise<void> {
    await this.#call("statePut", name, value);
  }

  /** Adds an entry to the audit log; durable when it resolves. */
  auditAppend(body: Uint8Array): Promise<AuditHead> {
    return this.#call("auditAppend", body) as Promise<AuditHead>;
  }

  /** Entries of the audit log, newest first. */
  auditRead(limit: number, before?: number): Promise<AuditRow[]> {
    return this.#call("auditRead", limit, before) as Promise<AuditRow[]>;
  }

  auditHead(): Promise<AuditHead> {
    return this.#call("auditHead") as Promise<AuditHead>;
  }

  /** Checks the whole audit log, slice by slice, so that commits get between. */
  auditVerify(): Promise<AuditCheck> {
    return checkAudit(async (from) => (await this.#call("auditCheck", from)) as ReturnType<Store["auditCheck"]>);
  }

  /**
   * Replaces the key-encryption key while everything goes on: what is stored stays readable, a copy of `state.db` from
   * before opens no more with what is here. A crash in the middle leaves either the old state or the new one.
   * @throws TidegateError KEY_UNWRITABLE, STORAGE_FAILED: nothing has changed
   */
  rotateKeys(): Promise<{ readonly rotations: number }> {
    return this.#call("rotateKeys") as Promise<{ readonly rotations: number }>;
  }

  /**
   * Begins an erasure: when it resolves that is durable, and nothing of it is read any more.
   * @param isForwarded  the sink is to be told: `eraseNotices`
   * @throws TidegateError USAGE (no such stream), STORAGE_FAILED
   */
  eraseBegin(request: ErasureRequest, isForwarded = false): Promise<Erasure> {
    return this.#call("eraseBegin", request, isForwarded) as Promise<Erasure>;
  }

  /** The erasure that is under way; null when there is none. */
  erasure(): Promise<Erasure | null> {
    return this.#call("erasure") as Promise<Erasure | null>;
  }

  /** One bounded step of it. @returns what it took, once nothing is left to do */
  eraseStep(): Promise<ErasureFacts | null> {
    return this.#call("eraseStep") as Promise<ErasureFacts | null>;
  }

  async eraseEnd(receipt: Uint8Array): Promise<void> {
    await this.#call("eraseEnd", receipt);
  }

  /** The newest erasures, the newest first. */
  erasures(limit: number): Promise<KeptErasure[]> {
    return this.#call("erasures", limit) as Promise<KeptErasure[]>;
  }

  /** What the sink has not been told yet, after number `n`, in order. */
  eraseNotices(n: number, limit: number): Promise<ErasureNotice[]> {
    return this.#call("eraseNotices", n, limit) as Promise<ErasureNotice[]>;
  }

  eraseToldUpTo(): Promise<number> {
    return this.#call("eraseToldUpTo") as Promise<number>;
  }

  /** The sink has been told of all up to a number. */
  async eraseTold(upTo: number): Promise<void> {
    await this.#call("eraseTold", upTo);
  }

  /** Keeps the sink's receipt for the erasures from `first` to `last`. */
  async eraseConfirm(first: number, last: number, receipt: Uint8Array): Promise<void> {
    await this.#call("eraseConfirm", first, last, receipt);
  }

  /** Resolves when the thread has got to it: what it was asked before is done. */
  async ping(): Promise<void> {
    await this.#call("stateGet", "ping");
  }

  stats(): Promise<BufferStats> {
    return this.#call("stats") as Promise<BufferStats>;
  }

  /** Merges what is ripe, block by block, so that commits get between. @returns readings merged */
  async merge(): Promise<number> {
    let merged = 0;
    for (;;) {
      const readings = (await this.#call("mergeStep")) as number;
      if (readings === 0) return merged;
      merged += readings;
    }
  }

  /** Removes what is beyond the budgets, pass by pass, so that commits get between. */
  async retain(): Promise<void> {
    for (let passes = 0; passes < 1_000; passes++) if (!(await this.#call("retain"))) return;
  }

  checkpoint(): Promise<boolean> {
    return this.#call("checkpoint") as Promise<boolean>;
  }

  #call<M extends keyof Store>(
    method: M,
    ...args: Store[M] extends (...args: infer A) => unknown ? A : never
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.#worker)
        return reject(
          this.#isStopped ? new TidegateError("STOPPED", { what: "the journal" }) : lost("it starts again"),
        );
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      const question = { id, method, args } as unknown as Question & StoreCall;
      this.#worker.postMessage(question);
    });
  }

  #receive(answer: Answer): void {
    if ("event" in answer) {
      if (answer.event.event !== "ready") this.#report(answer.event);
      return;
    }
    this.#answers++;
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ("error" in answer) waiting?.reject(TidegateError.from(answer.error));
    else waiting?.resolve(answer.value);
  }

  #report(event: StoreEvent): void {
    const { log, onEvent } = this.#options;
    if (event.event === "set-aside") log.error(event, "buffer.db would not open: set aside, a new one begun");
    else if (event.event === "corrupt") log.error(event, "a damaged piece was set apart");
    else if (event.event === "removed") log.info(event, "readings removed to stay within the budget");
    onEvent?.(event);
  }

  /** The thread is gone: whoever waits is told to try again, and another thread takes over. */
  #lose(worker: Worker, reason: string): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(lost(reason));
    this.#waiting.clear();
    if (this.#isStopped) return;
    this.#options.log.error({ reason }, "the journal thread is gone, starting another");
    this.#openAgain();
  }

  #openAgain(): void {
    const afterMs = this.#restartMs;
    this.#restartMs = Math.min(maxRestartMs, afterMs * 2);
    this.#restart = setTimeout(() => {
      this.#restarts++;
      this.#open().catch((thrown) => {
        this.#options.log.error({ reason: reasonOf(thrown) }, "the journal does not open, trying again");
        if (!this.#isStopped) this.#openAgain();
      });
    }, afterMs);
  }
}

const lost = (reason: string) =>
  new TidegateError("STORAGE_FAILED", { reason: `the journal thread is gone: ${reason}` });
