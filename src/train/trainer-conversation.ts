import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { getPriority, setPriority } from "node:os";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { open, seal } from "../crypto/sealing.ts";
import type { Card } from "../inference/card.ts";
import { decodeBody, encodeFrame, type FrameHead, FrameReader } from "../inference/framing.ts";
import type { Sealer } from "./checkpoint.ts";
import { collector } from "./collector.ts";
import type { DataSet } from "./data-set.ts";
import { DataAssembly, type DataHead } from "./data-transfer.ts";
import { type StreamData, StreamsData } from "./streams-data.ts";
import { isOutOfMemory, trainerKinds } from "./trainer-child.ts";
import type { ReadingSlice, TrainingEvent } from "./training-job.ts";

/** What every job of such a process says. */
export type AnyJob = {
  readonly card: Card;
  readonly settings: { readonly seed: number };
  /** How the readings of each stream become examples, when readings follow; absent: a data set follows. */
  readonly data?: readonly StreamData[];
};

export type JobHooks = {
  readonly signal: AbortSignal;
  tell(event: TrainingEvent): void;
  /** To be called before each run: see `collector`. */
  collect(): void;
  sealerOf(key: Uint8Array | undefined): Sealer | undefined;
};

const conversationFd = 3;
/** Events of progress are at least so far apart; ends of epochs too, since epochs can be shorter. */
const tellEveryMs = 100;
const lowestPriority = 19;
const readBufferBytes = 1 << 18;

/**
 * Leads a process that does one job and ends. It takes the job and its readings as frames on file descriptor 3 and tells
 * how it gets on; readings are taken as fast as they are made into examples, and no faster.
 */
export function converse<Job extends AnyJob>(
  work: (job: Job, data: DataSet, hooks: JobHooks) => Promise<unknown>,
): void {
  const stop = new AbortController();
  const buffer = new Uint8Array(readBufferBytes);
  const reader = new FrameReader(receive);
  const socket = new Socket({
    fd: conversationFd,
    onread: {
      buffer,
      callback: (bytes) => {
        guard(() => reader.push(buffer.subarray(0, bytes)));
        return true;
      },
    },
  } as ConstructorParameters<typeof Socket>[0] & object);

  const collect = collector();

  let job: Job | undefined;
  let readings: StreamsData | undefined;
  let given: DataAssembly | undefined;
  let told = 0;

  function receive(head: FrameHead, body: Uint8Array): void {
    switch (head.kind) {
      case trainerKinds.job:
        job = decodeBody(body) as Job;
        if (job.data) readings = new StreamsData(job.card, job.data, job.settings.seed);
        return;
      case trainerKinds.readings:
        readings?.frame(decodeBody(body) as ReadingSlice);
        return;
      case trainerKinds.dataHead:
        given = new DataAssembly(decodeBody(body) as DataHead);
        return;
      case trainerKinds.dataPart:
        given?.add({ array: head.id, offset: head.count, bytes: body });
        return;
      case trainerKinds.end:
        void begin().then(leave, fail);
    }
  }

  async function begin(): Promise<void> {
    const data = readings?.finish() ?? given?.finish();
    if (!job || !data) throw new TidegateError("BUG", { detail: "the end of the data came before the job" });
    readings = undefined;
    given = undefined;
    say(trainerKinds.result, await work(job, data, { signal: stop.signal, tell, collect, sealerOf }));
  }

  function tell(event: TrainingEvent): void {
    const now = performance.now();
    if (event.event === "progress") {
      const isLast = event.epoch === event.epochs && event.ended !== undefined;
      if (now - told < tellEveryMs && !isLast) return;
      told = now;
    }
    say(trainerKinds.event, event);
  }

  function say(kind: number, value: unknown): void {
    if (!socket.destroyed) socket.write(encodeFrame({ kind, id: 0, model: 0, count: 0, width: 0 }, value));
  }

  function fail(thrown: unknown): void {
    const reason = reasonOf(thrown);
    const own = thrown instanceof TidegateError ? thrown : new TidegateError("BUG", { detail: reason });
    const error = isOutOfMemory(reason) ? new TidegateError("TRAINER_ENDED", { reason: "memory ran out" }) : own;
    say(trainerKinds.failed, error.toJSON());
    leave();
  }

  function guard(action: () => void): void {
    try {
      action();
    } catch (thrown) {
      fail(thrown);
    }
  }

  /** Ends once what was said is with the parent. */
  function leave(): void {
    if (socket.destroyed) process.exit(0);
    socket.end(() => process.exit(0));
  }

  const [niceness = `${lowestPriority}`, oomScore = "1000"] = process.argv.slice(2);
  const ready = stepBack(Number(niceness), Number(oomScore));
  // Without its parent nobody would take what it gives; the checkpoint is kept.
  for (const event of ["end", "close", "error"]) socket.on(event, () => stop.abort());
  process.on("SIGTERM", () => stop.abort());
  // A terminal's Ctrl-C goes to the whole group; the parent decides when this process ends.
  process.on("SIGINT", () => {});
  say(trainerKinds.ready, ready);
}

function sealerOf(key: Uint8Array | undefined): Sealer | undefined {
  if (!key) return undefined;
  return { seal: (plain) => seal(plain, key), open: (sealed) => open(sealed, key) };
}

/**
 * Under memory pressure the kernel takes this process first, and under load it leaves the processor to all others. A niced
 * process still keeps one that wakes up waiting for a slice of its time; an idle one (SCHED_IDLE) is put aside at once.
 */
function stepBack(niceness: number, oomScore: number) {
  let written: number | null = oomScore;
  try {
    setPriority(niceness);
    // Where that is missing or not allowed, niceness alone has to do. All threads that there are; later ones inherit it.
    if (niceness === lowestPriority) spawnSync("chrt", ["--all-tasks", "--idle", "--pid", "0", `${process.pid}`]);
    writeFileSync("/proc/self/oom_score_adj", String(oomScore));
  } catch {
    written = null;
  }
  return { pid: process.pid, niceness: getPriority(), oomScore: written };
}
