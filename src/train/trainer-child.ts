import { TidegateError } from "../base/errors.ts";
import { within } from "../base/lifecycle.ts";
import { decodeBody, encodeFrame, headBytes, writeHead } from "../inference/framing.ts";
import { type ChildEnd, entryBeside, ModelChild } from "../inference/model-child.ts";
import type { DataSet } from "./data-set.ts";
import { takeApart } from "./data-transfer.ts";
import type { ReadingSlice, TrainingEvent, TrainingJob, TrainingResult } from "./training-job.ts";

/** Kinds of frames between a trainer process and its parent. */
export const trainerKinds = {
  job: 1,
  /** A slice of a stream's readings. */
  readings: 2,
  end: 3,
  dataHead: 4,
  /** Raw bytes; the head's `id` is the array, its `count` the offset. */
  dataPart: 5,
  ready: 10,
  event: 11,
  result: 12,
  failed: 13,
} as const;

export type TrainerOptions<Job = TrainingJob> = {
  readonly job: Job;
  /** Examples as they are, or readings slice by slice: the next is asked for when the process has taken the last. */
  readonly data: DataSet | AsyncIterable<ReadingSlice> | Iterable<ReadingSlice>;
  /** Stops it; what was learnt is in the checkpoint. */
  readonly signal: AbortSignal;
  /** Default 19, at which it gets what is left of the processor (SCHED_IDLE), where the system has `chrt`. */
  readonly niceness?: number;
  readonly onEvent?: (event: TrainingEvent) => void;
  readonly onStart?: (pid: number) => void;
};

/** First of all processes to go when memory runs out. */
const oomScore = 1_000;
/** Time for the last checkpoint once it was asked to stop. */
const stopMs = 15_000;

/**
 * What keeps the memory of a trainer small. Its JavaScript waits for onnxruntime, so that speed there costs more than it is
 * worth. And glibc, left alone, soon takes blocks of megabytes from its heap, in whose gaps they stay when they are free.
 */
export const frugal = {
  flags: ["--max-semi-space-size=1", "--optimize-for-size"],
  environment: { MALLOC_MMAP_THRESHOLD_: "262144", MALLOC_TRIM_THRESHOLD_: "131072", MALLOC_ARENA_MAX: "1" },
} as const;

const noHead = { id: 0, model: 0, count: 0, width: 0 };

/**
 * Does a job in a process of its own: of the lowest priority, the first to go when memory runs out, and gone afterwards.
 *
 * @throws TidegateError TRAINER_ENDED when it was killed or ran out of memory; and whatever its work raises
 */
export const trainInChild = (options: TrainerOptions): Promise<TrainingResult> =>
  workInChild(entryBeside(import.meta.url, "trainer-process"), options);

/** The same for another kind of job. @param entry  file whose process leads `converse` */
export async function workInChild<Job, Result>(entry: string, options: TrainerOptions<Job>): Promise<Result> {
  const { job, data, signal, niceness = 19, onEvent, onStart } = options;
  const done = Promise.withResolvers<Result>();
  const child = new ModelChild({
    entry,
    ...frugal,
    niceness,
    oomScore,
    onFrame: ({ kind }, body) => {
      const value = decodeBody(body);
      if (kind === trainerKinds.ready) onStart?.((value as { pid: number }).pid);
      else if (kind === trainerKinds.event) onEvent?.(value as TrainingEvent);
      else if (kind === trainerKinds.result) done.resolve(value as Result);
      else if (kind === trainerKinds.failed) done.reject(TidegateError.from(value as { code: string }));
    },
    onEnd: (end) => done.reject(new TidegateError("TRAINER_ENDED", { reason: reasonOfEnd(end) })),
  });
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  // What it says is waited for below; a process that ends while it is fed must not go unheard.
  let isDone = false;
  const settled = () => {
    isDone = true;
  };
  done.promise.then(settled, settled);
  try {
    await child.sent(encodeFrame({ ...noHead, kind: trainerKinds.job }, job));
    for await (const frame of framesOf(data)) {
      if (signal.aborted || isDone) break;
      await child.sent(frame);
    }
    child.send(encodeFrame({ ...noHead, kind: trainerKinds.end }, null));
    if (signal.aborted) stop();
    return await (signal.aborted
      ? within(done.promise, stopMs, "the trainer process")
      : untilStopped(done.promise, signal));
  } finally {
    signal.removeEventListener("abort", stop);
    child.finish();
    // It has said what it had to say, or never will.
    setTimeout(() => child.kill(), stopMs).unref();
  }
}

/** What goes over, in frames of bounded size. */
async function* framesOf(data: TrainerOptions<unknown>["data"]): AsyncGenerator<Uint8Array> {
  if (!("manifest" in data)) {
    for await (const slice of data) yield encodeFrame({ ...noHead, kind: trainerKinds.readings }, slice);
    return;
  }
  const { head, parts } = takeApart(data);
  yield encodeFrame({ ...noHead, kind: trainerKinds.dataHead }, head);
  for (const { array, offset, bytes } of parts) {
    const frame = new Uint8Array(headBytes + bytes.length);
    writeHead(frame, bytes.length, { ...noHead, kind: trainerKinds.dataPart, id: array, count: offset });
    frame.set(bytes, headBytes);
    yield frame;
  }
}

/** Waits as long as it takes; once the signal has come, no longer than a checkpoint takes. */
function untilStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => within(work, stopMs, "the trainer process").then(resolve, reject);
    signal.addEventListener("abort", late, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", late));
  });
}

function reasonOfEnd({ code, signal, lastWords }: ChildEnd): string {
  if (signal === "SIGKILL") return "it was killed, as the kernel does when memory runs out";
  if (isOutOfMemory(lastWords)) return "memory ran out";
  return `${signal ?? `exit code ${code}`}${lastWords ? `: ${lastWords.split("\n").at(-1)}` : ""}`;
}

/** Whether these are the words of V8, of the C++ library, of the system or of onnxruntime for memory that cannot be had. */
export const isOutOfMemory = (words: string): boolean =>
  /out of memory|allocation failed|bad_alloc|cannot allocate|failed to allocate/i.test(words);
