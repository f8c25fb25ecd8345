import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { headBytes } from "./framing.ts";
import type { HostedModel } from "./hosted-model.ts";
import { type BatchResult, type FullPolicy, Lane, type LostWindows } from "./lane.ts";
import type { ModelHost } from "./model-host.ts";

export type SchedulerOptions = {
  readonly host: Pick<ModelHost, "run">;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once per batch, in order within a stream; the batch's arrays are valid during the call only. */
  onResults(batch: BatchResult): void;
  onLost?(lost: LostWindows): void;
  /** True when a stream that holds has filled up: the acknowledgements should wait until it is false again. */
  onSaturated?(isSaturated: boolean): void;
  /** True when a stream that sheds is half full: less should come until it is false again, or windows will be dropped. */
  onCrowded?(isCrowded: boolean): void;
};

export type StreamLoad = {
  readonly stream: string;
  readonly model: HostedModel;
  /** Numbers per window: size x fields. */
  readonly width: number;
  readonly whenFull: FullPolicy;
  readonly maxWaiting?: number;
};

/**
 * Sees the batches of a stream that went well, with what came of them. All arrays are valid during the call only.
 * @param windows  n x width
 */
export type Tap = (windows: Float32Array, width: number, result: BatchResult, model: HostedModel) => void;

/** Batches with the model process at a time: the second waits in its pipe while the first runs. */
const maxFlying = 2;
/** Windows that wait per stream, and the memory that they may take. */
const maxWaiting = 32_768;
const maxWaitingBytes = 64 * 2 ** 20;
const maxBatch = 4_096;
const maxBatchBytes = 2 ** 20;
const turnMs = 50;
/** How often a stream that rests between batches is looked at. */
const lookMs = 2;

/**
 * Brings windows to their models and results back. Batches form by themselves: while one is with the model process the
 * next fills; when it returns, all that waits goes at once. Streams take turns. A busy stream rests for a few milliseconds
 * between batches: a batch costs both processes more than a hundred windows do.
 *
 * Every window that is enqueued ends in exactly one of `onResults` and `onLost`.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #taps = new Map<string, Tap>();
  #turn: Lane[] = [];
  #flying = 0;
  #isPaused = false;
  #isDue = false;
  #isSaturated = false;
  #isCrowded = false;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  #roomless: { lane: Lane; resolve: () => void }[] = [];

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Opens the lane of a stream. */
  open({ stream, model, width, whenFull, ...limits }: StreamLoad): void {
    const batch = Math.max(1, Math.min(maxBatch, Math.floor(maxBatchBytes / (width * 4))));
    const room = Math.max(4, Math.floor(maxWaitingBytes / (width * 4)));
    const waiting = Math.min(limits.maxWaiting ?? maxWaiting, room);
    const lane = new Lane({
      stream,
      model,
      width,
      whenFull,
      maxWaiting: waiting,
      maxBatch: Math.min(batch, waiting),
      turnMs,
    });
    this.#lanes.set(stream, lane);
    this.#turn.push(lane);
  }

  /** Closes a lane; windows that still wait in it are given up. Await `drained` before, to lose none. */
  close(stream: string): void {
    this.#lanes.delete(stream);
    this.#turn = this.#turn.filter((lane) => lane.stream !== stream);
  }

  /** From the next batch on the stream runs on this model; the batch that is under way keeps the old one. */
  swap(stream: string, model: HostedModel): void {
    this.#lane(stream).model = model;
  }

  /** Shows a stream's batches to one who looks on; null ends it. */
  tap(stream: string, tap: Tap | null): void {
    if (tap) this.#taps.set(stream, tap);
    else this.#taps.delete(stream);
  }

  /**
   * Queues a copy of a window.
   * @param sequence  of its newest reading; grows within a source
   * @param arrived  of its newest reading, monotonic ms
   */
  enqueue(stream: string, source: number, sequence: number, ts: number, arrived: number, window: Float32Array): void {
    const lane = this.#lanes.get(stream) ?? this.#lane(stream);
    if (lane.queue.length === lane.queue.limit) this.#shed(lane);
    lane.queue.push(source, sequence, ts, arrived, window);
    lane.counters.enqueued++;
    if (lane.queue.length * 2 >= lane.queue.limit) this.#fillingUp(lane);
    // Once per turn of the loop: what one read of the socket brought goes together.
    if (!this.#isDue && this.#flying < maxFlying && !lane.isRunning && (lane.isFull || this.#timer === undefined)) {
      this.#isDue = true;
      setImmediate(this.#dispatch);
    }
  }

  /** The lowest sequence number without a result; Infinity when the stream owes none. Below it all is inferred. */
  inferredUpTo(stream: string): number {
    return this.#lanes.get(stream)?.oldest ?? Number.POSITIVE_INFINITY;
  }

  /** Calls `then` once every window enqueued so far has its result or was given up, and before a later one has. */
  passed(stream: string, then: () => void): void {
    this.#lane(stream).mark(then);
  }

  get isSaturated(): boolean {
    return this.#isSaturated;
  }

  /** Windows that wait for a result, of all streams. */
  get outstanding(): number {
    let sum = 0;
    for (const lane of this.#turn) sum += lane.outstanding;
    return sum;
  }

  get stats() {
    return this.#turn.map(({ stream, model, counters, queue, outstanding }) => {
      return { stream, model: model.name, version: model.version, waiting: queue.length, outstanding, ...counters };
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#dispatch();
  }

  /** Resolves when no window waits for a result. */
  drained(): Promise<void> {
    if (this.outstanding === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Windows that may be enqueued at once after `room`, without the stream being saturated by them. */
  roomOf(stream: string): number {
    return Math.max(1, Math.floor(this.#lane(stream).queue.limit / 8));
  }

  /** Resolves when at most a quarter of the stream's room is taken: for a source that can wait, like a replay. */
  room(stream: string): Promise<void> {
    const lane = this.#lane(stream);
    if (lane.queue.length * 4 <= lane.queue.limit) return Promise.resolve();
    return new Promise((resolve) => this.#roomless.push({ lane, resolve }));
  }

  #lane(stream: string): Lane {
    const lane = this.#lanes.get(stream);
    if (!lane) throw new TidegateError("BUG", { detail: `stream ${stream} has no lane` });
    return lane;
  }

  #dispatch = (): void => {
    this.#isDue = false;
    if (this.#isPaused) return;
    const now = this.#options.clock.monotonic();
    let isAnyResting = false;
    for (let left = this.#turn.length; left > 0 && this.#flying < maxFlying; left--) {
      const lane = this.#turn.shift();
      if (!lane) return;
      // Whoever had a turn goes to the end.
      this.#turn.push(lane);
      if (lane.isReady(now)) void this.#run(lane, now);
      else if (!lane.isRunning && lane.queue.length > 0) isAnyResting = true;
    }
    if (isAnyResting) this.#timer ??= setTimeout(this.#wake, lookMs);
  };

  #wake = (): void => {
    this.#timer = undefined;
    this.#dispatch();
  };

  async #run(lane: Lane, sentAt: number): Promise<void> {
    const { host, clock } = this.#options;
    const { model } = lane;
    const { frame, count } = lane.fill(sentAt);
    lane.isRunning = true;
    this.#flying++;
    let error: unknown;
    try {
      await host.run(model, frame, count, lane.queue.width, (body) => lane.receive(model, body));
    } catch (thrown) {
      error = thrown;
    }
    if (error instanceof TidegateError && error.code === "STOPPED") {
      // What is owed stays owed: `inferredUpTo` must not pass windows that never had their turn.
      this.#isPaused = true;
      return;
    }
    if (error === undefined) {
      const result = lane.result(model, clock.monotonic() - sentAt);
      const { width } = lane.queue;
      this.#taps.get(lane.stream)?.(new Float32Array(frame.buffer, headBytes, count * width), width, result, model);
      this.#deliver(lane, result);
    } else this.#fail(lane, model, error);
    lane.isRunning = false;
    this.#flying--;
    this.#dispatch();
    this.#tellWaiting();
  }

  #tellWaiting(): void {
    const isFull = ({ whenFull, queue }: Lane) => whenFull === "hold" && queue.length * 4 > queue.limit;
    if (this.#isSaturated && !this.#turn.some(isFull)) this.#saturate(false);
    const isCrowded = ({ whenFull, queue }: Lane) => whenFull === "shed" && queue.length * 8 > queue.limit * 3;
    if (this.#isCrowded && !this.#turn.some(isCrowded)) {
      this.#isCrowded = false;
      this.#options.onCrowded?.(false);
    }
    if (this.#roomless.length > 0) {
      const hasRoom = ({ lane }: { lane: Lane }) => lane.queue.length * 4 <= lane.queue.limit;
      const ready = this.#roomless.filter(hasRoom);
      this.#roomless = this.#roomless.filter((waiting) => !hasRoom(waiting));
      for (const { resolve } of ready) resolve();
    }
    if (this.#idle.length > 0 && this.outstanding === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #deliver(lane: Lane, result: BatchResult): void {
    lane.isFailing = false;
    lane.counters.batches++;
    lane.counters.completed += result.n;
    try {
      this.#options.onResults(result);
    } finally {
      lane.land();
    }
  }

  #fail(lane: Lane, model: HostedModel, error: unknown): void {
    const n = lane.land();
    lane.counters.failed += n;
    const { name, version } = model;
    if (!lane.isFailing) {
      const facts = { stream: lane.stream, model: name, version, windows: n, error: reasonOf(error) };
      this.#options.log.warn(facts, "batches of this stream fail");
    }
    lane.isFailing = true;
    this.#options.onLost?.({ stream: lane.stream, n, reason: "model" });
  }

  /** Makes room by dropping the oldest windows, some at a time so that it does not cost each window. */
  #shed(lane: Lane): void {
    const n = Math.max(1, lane.queue.limit >> 6);
    lane.drop(n);
    lane.counters.shed += n;
    this.#options.onLost?.({ stream: lane.stream, n, reason: "overflow" });
  }

  #fillingUp({ whenFull }: Lane): void {
    if (whenFull === "hold") {
      if (!this.#isSaturated) this.#saturate(true);
    } else if (!this.#isCrowded) {
      this.#isCrowded = true;
      this.#options.onCrowded?.(true);
    }
  }

  #saturate(isSaturated: boolean): void {
    this.#isSaturated = isSaturated;
    this.#options.onSaturated?.(isSaturated);
  }
}
