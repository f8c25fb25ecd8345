import { TidegateError } from "../base/errors.ts";
import { headBytes } from "./framing.ts";
import type { HostedModel } from "./hosted-model.ts";
import { type WindowColumns, WindowQueue, windowColumns } from "./window-queue.ts";

/** Results of one batch of one stream. The arrays are reused: what is kept must be copied. Rows 0 to `n - 1` count. */
export type BatchResult = {
  readonly stream: string;
  readonly model: string;
  readonly version: number;
  readonly n: number;
  readonly sources: Uint32Array;
  readonly sequences: Float64Array;
  readonly ts: Float64Array;
  readonly arrived: Float64Array;
  /** Each output of the model, `widths[name]` numbers per window. */
  readonly outputs: Readonly<Record<string, Float32Array>>;
  readonly widths: Readonly<Record<string, number>>;
  /** From hand-over to the model process until its answer. */
  readonly durationMs: number;
};

/** Windows that got no result, oldest first; their readings are stored all the same. */
export type LostWindows = { readonly stream: string; readonly n: number; readonly reason: "overflow" | "model" };

/** What to do when more windows wait than there is room for: let the acknowledgements wait, or drop the oldest. */
export type FullPolicy = "hold" | "shed";

const fullBatch = 512;
/** After a batch of so many windows a stream rests for so long. */
const busyBatch = 64;
const restMs = 4;

export type LaneOptions = {
  readonly stream: string;
  readonly model: HostedModel;
  /** Numbers per window. */
  readonly width: number;
  readonly whenFull: FullPolicy;
  readonly maxWaiting: number;
  readonly maxBatch: number;
  /** A batch is no larger than what its model is likely to finish in this time, so that models take turns. */
  readonly turnMs: number;
};

/**
 * The windows of one stream on their way through a model: a queue, and the one batch that is with the model process.
 * Values go into the batch's frame right behind its head, so that sending copies nothing.
 */
export class Lane {
  readonly stream: string;
  readonly whenFull: FullPolicy;
  readonly queue: WindowQueue;
  /** What the next batch runs on; batches that are under way keep theirs. */
  model: HostedModel;
  isRunning = false;
  #restsUntil = Number.NEGATIVE_INFINITY;
  /** The last batch failed: said once, not for each. */
  isFailing = false;
  readonly counters = { enqueued: 0, completed: 0, shed: 0, failed: 0, batches: 0 };
  readonly #turnMs: number;
  readonly #maxBatch: number;
  readonly #frame: Uint8Array;
  readonly #batch: WindowColumns;
  #flying = 0;
  /** Windows before the mark that are still to be done with, and who waits for it. */
  #toMark = Number.POSITIVE_INFINITY;
  #onMark: (() => void) | undefined;
  #msPerWindow = 0;
  #outputs: Record<string, Float32Array> = {};
  #outputsOf: HostedModel | undefined;

  constructor({ stream, model, width, whenFull, maxWaiting, maxBatch, turnMs }: LaneOptions) {
    this.stream = stream;
    this.model = model;
    this.whenFull = whenFull;
    this.queue = new WindowQueue(width, maxWaiting);
    this.#maxBatch = maxBatch;
    this.#turnMs = turnMs;
    this.#frame = new Uint8Array(headBytes + maxBatch * width * 4);
    this.#batch = windowColumns(maxBatch, new Float32Array(this.#frame.buffer, headBytes));
  }

  /**
   * The lowest sequence number of a window without a result; Infinity when there is none. It need not be the first one's:
   * a cell of a grid may be closed after those of other sources whose newest reading came later.
   */
  get oldest(): number {
    let { oldest } = this.queue;
    for (let i = 0; i < this.#flying; i++) oldest = Math.min(oldest, this.#batch.sequences[i] as number);
    return oldest;
  }

  /** So many windows wait that they need not wait for more. */
  get isFull(): boolean {
    return this.queue.length >= Math.min(fullBatch, this.#maxBatch);
  }

  /** Whether a batch may start with what waits. After a large one it waits until it is large, too, or a moment has passed. */
  isReady(now: number): boolean {
    return !this.isRunning && this.queue.length > 0 && (now >= this.#restsUntil || this.isFull);
  }

  get outstanding(): number {
    return this.queue.length + this.#flying;
  }

  /**
   * Calls `passed` once all windows that are here now are done with, and before any later one is; at once when none is.
   * An earlier mark is forgotten.
   */
  mark(passed: () => void): void {
    this.#toMark = this.outstanding;
    this.#onMark = passed;
    this.#pass(0);
  }

  #pass(count: number): void {
    this.#toMark -= count;
    if (this.#toMark > 0) return;
    const passed = this.#onMark;
    this.#toMark = Number.POSITIVE_INFINITY;
    this.#onMark = undefined;
    passed?.();
  }

  /** Forgets the oldest `count` windows that wait. */
  drop(count: number): void {
    this.queue.drop(count);
    // Some may lie behind the mark; the batch that is under way lies before it.
    this.#pass(Math.min(count, this.#toMark - this.#flying));
  }

  /** Fills the batch with the oldest windows; the frame to send, and how many they are. */
  fill(now: number): { frame: Uint8Array; count: number } {
    const inTime = this.#msPerWindow > 0 ? Math.max(1, Math.floor(this.#turnMs / this.#msPerWindow)) : this.#maxBatch;
    const count = Math.min(this.queue.length, this.#maxBatch, inTime, this.#toMark);
    this.queue.take(count, this.#batch);
    this.#flying = count;
    if (count >= busyBatch) this.#restsUntil = now + restMs;
    return { frame: this.#frame.subarray(0, headBytes + count * this.queue.width * 4), count };
  }

  /** Takes the answer's outputs: float32, one output after the other. */
  receive(model: HostedModel, body: Uint8Array): void {
    const outputs = this.#outputsFor(model);
    let at = 0;
    model.bundle.card.outputs.forEach(({ name }, k) => {
      const bytes = this.#flying * (model.widths[k] ?? 0) * 4;
      const into = outputs[name];
      if (!into || at + bytes > body.length) throw new TidegateError("BUG", { detail: "an answer is too short" });
      new Uint8Array(into.buffer).set(body.subarray(at, at + bytes));
      at += bytes;
    });
  }

  #outputsFor(model: HostedModel): Record<string, Float32Array> {
    if (this.#outputsOf === model) return this.#outputs;
    this.#outputs = Object.fromEntries(
      model.bundle.card.outputs.map(({ name }, k) => [name, new Float32Array(this.#maxBatch * (model.widths[k] ?? 0))]),
    );
    this.#outputsOf = model;
    return this.#outputs;
  }

  result(model: HostedModel, durationMs: number): BatchResult {
    const { sources, sequences, ts, arrived } = this.#batch;
    const widths = Object.fromEntries(model.bundle.card.outputs.map(({ name }, k) => [name, model.widths[k] ?? 0]));
    const perWindow = durationMs / this.#flying;
    // Follows a change within a few batches; one slow batch does not shrink the next to nothing.
    this.#msPerWindow = this.#msPerWindow === 0 ? perWindow : 0.8 * this.#msPerWindow + 0.2 * perWindow;
    const { name, version } = model;
    const columns = { sources, sequences, ts, arrived, outputs: this.#outputs, widths };
    return { stream: this.stream, model: name, version, n: this.#flying, ...columns, durationMs };
  }

  /** The batch is done with; returns how many windows it had. */
  land(): number {
    const count = this.#flying;
    this.#flying = 0;
    this.#pass(count);
    return count;
  }
}
