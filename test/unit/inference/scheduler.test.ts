import { expect, test } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { LostWindows } from "../../../src/inference/lane.ts";
import { Scheduler, type StreamLoad } from "../../../src/inference/scheduler.ts";
import { HeldHost, hostedModel, settled } from "../../support/held-host.ts";

type Row = { stream: string; version: number; sequence: number; score: number | undefined; pair: number[] };

function schedule(load: Partial<StreamLoad> = {}, streams = ["s"]) {
  const clock = new FakeClock();
  const host = new HeldHost();
  const rows: Row[] = [];
  const lost: LostWindows[] = [];
  const saturations: boolean[] = [];
  const crowds: boolean[] = [];
  const model = hostedModel();
  const scheduler = new Scheduler({
    host,
    clock,
    log: silentLog,
    onResults: ({ stream, version, n, sequences, outputs: { score, pair } }) => {
      for (let i = 0; i < n; i++) {
        const both = [...(pair ?? [])].slice(2 * i, 2 * i + 2);
        rows.push({ stream, version, sequence: sequences[i] ?? -1, score: score?.[i], pair: both });
      }
    },
    onLost: (windows) => lost.push(windows),
    onSaturated: (isSaturated) => saturations.push(isSaturated),
    onCrowded: (isCrowded) => crowds.push(isCrowded),
  });
  for (const stream of streams) scheduler.open({ stream, model, width: 2, whenFull: "shed", ...load });
  const send = async (from: number, count: number, stream = "s") => {
    for (let i = from; i < from + count; i++) scheduler.enqueue(stream, 0, i, i, 0, Float32Array.of(i, -i));
    await settled();
  };
  const sequences = () => rows.map(({ sequence }) => sequence);
  return { scheduler, host, clock, rows, lost, saturations, crowds, send, sequences };
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

test("while one batch runs the next fills, and when it returns all that waits goes at once", async () => {
  const { host, rows, send } = schedule();
  await send(0, 3);
  await send(3, 40);
  expect(host.runs.map(({ count }) => count)).toEqual([3]);
  await host.runs[0]?.answer();
  expect(host.runs.map(({ count }) => count)).toEqual([3, 40]);
  expect(rows).toEqual(range(0, 3).map((i) => ({ stream: "s", version: 1, sequence: i, score: i, pair: [i, -i] })));
});

test("streams take turns, and no more than two batches are under way", async () => {
  const { host, send, rows } = schedule({}, ["a", "b", "c"]);
  for (const stream of ["a", "b", "c"]) await send(0, 5, stream);
  await send(5, 5, "a");
  expect(host.runs).toHaveLength(2);
  await host.runs[0]?.answer();
  await host.runs[1]?.answer();
  await host.runs[2]?.answer();
  await host.runs[3]?.answer();
  expect(rows.map(({ stream, sequence }) => `${stream}${sequence}`).filter((each) => /[05]$/.test(each))).toEqual([
    ...["a0", "b0", "c0", "a5"],
  ]);
});

test("what a stream owes is known at every moment: below it all is inferred", async () => {
  const { scheduler, host, send } = schedule();
  expect(scheduler.inferredUpTo("s")).toBe(Number.POSITIVE_INFINITY);
  await send(7, 3);
  await send(20, 3);
  expect([scheduler.inferredUpTo("s"), scheduler.outstanding]).toEqual([7, 6]);
  await host.runs[0]?.answer();
  expect([scheduler.inferredUpTo("s"), scheduler.outstanding]).toEqual([20, 3]);
  const drained = scheduler.drained();
  await host.runs[1]?.answer();
  await drained;
  expect([scheduler.inferredUpTo("s"), scheduler.outstanding]).toEqual([Number.POSITIVE_INFINITY, 0]);
});

test("a full stream that sheds drops its oldest windows and counts each; the rest arrives in order", async () => {
  const { scheduler, host, lost, sequences, send } = schedule({ maxWaiting: 64 });
  await send(0, 1);
  await send(1, 70);
  await host.runs[0]?.answer();
  for (let i = 1; i < 4; i++) await host.runs[i]?.answer();
  expect(lost.every(({ reason }) => reason === "overflow")).toBe(true);
  expect(lost.reduce((sum, { n }) => sum + n, 0)).toBe(6);
  expect(sequences()).toEqual([0, ...range(7, 64)]);
  expect(scheduler.stats).toMatchObject([{ enqueued: 71, completed: 65, shed: 6, failed: 0 }]);
});

test("a stream that holds says when it has filled up, and when there is room again, once each", async () => {
  const { scheduler, host, saturations, lost, send } = schedule({ maxWaiting: 64, whenFull: "hold" });
  await send(0, 1);
  await send(1, 31);
  expect(saturations).toEqual([]);
  await send(32, 9);
  expect([saturations, scheduler.isSaturated]).toEqual([[true], true]);
  let hasRoom = false;
  void scheduler.room("s").then(() => {
    hasRoom = true;
  });
  await settled();
  expect(hasRoom).toBe(false);
  await host.runs[0]?.answer();
  expect([saturations, hasRoom, lost]).toEqual([[true, false], true, []]);
});

test("a stream that sheds says when it is half full, and when there is room again, once each", async () => {
  const { host, crowds, saturations, send } = schedule({ maxWaiting: 64 });
  await send(0, 1);
  await send(1, 31);
  expect(crowds).toEqual([]);
  await send(32, 9);
  expect(crowds).toEqual([true]);
  await host.runs[0]?.answer();
  expect([crowds, saturations]).toEqual([[true, false], []]);
});

test("a busy stream rests after a large batch, until many wait again or a moment has passed", async () => {
  const { host, clock, send } = schedule();
  await send(0, 100);
  await host.runs[0]?.answer();
  await send(100, 30);
  expect(host.runs).toHaveLength(1);
  await send(130, 500);
  expect(host.runs.map(({ count }) => count)).toEqual([100, 530]);
  await host.runs[1]?.answer();
  await send(630, 30);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(host.runs).toHaveLength(2);
  clock.advance(5);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(host.runs.map(({ count }) => count)).toEqual([100, 530, 30]);
});

test("a batch that fails is counted as lost, and the stream goes on", async () => {
  const { host, lost, sequences, send } = schedule();
  await send(0, 3);
  await host.runs[0]?.fail(new TidegateError("MODEL_RUN_FAILED", { reason: "no" }));
  await send(3, 2);
  await host.runs[1]?.answer();
  expect(lost).toEqual([{ stream: "s", n: 3, reason: "model" }]);
  expect(sequences()).toEqual([3, 4]);
});

test("when the host stops, what is owed stays owed and counts as nothing lost", async () => {
  const { scheduler, host, lost, send } = schedule();
  await send(5, 3);
  await host.runs[0]?.fail(new TidegateError("STOPPED", { what: "the model process" }));
  await send(8, 3);
  expect([scheduler.inferredUpTo("s"), scheduler.outstanding, lost.length, host.runs.length]).toEqual([5, 6, 0, 1]);
});

test("a swapped model gets the next batch; the one under way is answered by the old", async () => {
  const { scheduler, host, rows, send } = schedule();
  await send(0, 2);
  await send(2, 2);
  scheduler.swap("s", hostedModel(2));
  await host.runs[0]?.answer();
  await host.runs[1]?.answer();
  expect(host.runs.map(({ model }) => model.version)).toEqual([1, 2]);
  expect(rows.map(({ sequence, version }) => [sequence, version])).toEqual([
    [0, 1],
    [1, 1],
    [2, 2],
    [3, 2],
  ]);
});

test("a slow model gets smaller batches, so that the others have their turn", async () => {
  const { host, clock, send } = schedule();
  await send(0, 100);
  await send(100, 900);
  // 5 ms a window: ten of them make a turn.
  clock.advance(500);
  await host.runs[0]?.answer();
  expect(host.runs[1]?.count).toBe(10);
});

test("while paused nothing is sent, and nothing lost", async () => {
  const { scheduler, host, sequences, send } = schedule();
  scheduler.pause();
  await send(0, 4);
  expect(host.runs).toEqual([]);
  scheduler.resume();
  await host.runs[0]?.answer();
  expect(sequences()).toEqual([0, 1, 2, 3]);
});

test("a mark is passed when the windows before it have their results, and before a later one has", async () => {
  const { scheduler, host, send, sequences } = schedule();
  const marks: number[][] = [];
  const mark = () => scheduler.passed("s", () => marks.push(sequences()));
  mark();
  expect(marks).toEqual([[]]);
  await send(0, 2);
  await send(2, 2);
  mark();
  await send(4, 3);
  await host.runs[0]?.answer();
  // The next batch ends at the mark, though more would go.
  expect([host.runs[1]?.count, marks.length]).toEqual([2, 1]);
  await host.runs[1]?.answer();
  expect(marks[1]).toEqual([0, 1, 2, 3]);
  await host.runs[2]?.answer();
  expect([sequences(), marks.length]).toEqual([range(0, 7), 2]);
});

test("windows that are given up bring a mark nearer, too", async () => {
  const { scheduler, host, send, sequences } = schedule({ maxWaiting: 64 });
  const marks: number[][] = [];
  await send(0, 1);
  await send(1, 2);
  scheduler.passed("s", () => marks.push(sequences()));
  // Room for 64: the three oldest that wait go, among them both that lie before the mark.
  await send(3, 65);
  expect(marks).toEqual([]);
  await host.runs[0]?.answer();
  expect(marks).toEqual([[0]]);
});
