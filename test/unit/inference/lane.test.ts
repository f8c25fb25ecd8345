import { expect, test } from "vitest";
import { headBytes } from "../../../src/inference/framing.ts";
import { Lane } from "../../../src/inference/lane.ts";
import { hostedModel } from "../../support/held-host.ts";

const laneOf = (options: Partial<ConstructorParameters<typeof Lane>[0]> = {}) =>
  new Lane({
    stream: "s",
    model: hostedModel(),
    width: 2,
    whenFull: "shed",
    maxWaiting: 100,
    maxBatch: 8,
    turnMs: 50,
    ...options,
  });

function push(lane: Lane, from: number, count: number): void {
  for (let i = from; i < from + count; i++) lane.queue.push(i % 3, i, i * 1_000, i / 2, Float32Array.of(i, i + 0.5));
}

/** An answer of one score and one pair per window. */
const answerOf = (scores: readonly number[], pairs: readonly number[]): Uint8Array =>
  new Uint8Array(Float32Array.from([...scores, ...pairs]).buffer);

test("a batch lies ready to send behind the head of its frame, oldest windows first, no larger than its limit", () => {
  const lane = laneOf();
  push(lane, 0, 11);
  const { frame, count } = lane.fill(0);
  expect(count).toBe(8);
  expect(frame.length).toBe(headBytes + 8 * 2 * 4);
  const values = new Float32Array(frame.slice(headBytes).buffer);
  expect([...values]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5]);
  expect([lane.oldest, lane.outstanding, lane.queue.length]).toEqual([0, 11, 3]);
});

test("what came back is laid beside what was sent", () => {
  const lane = laneOf();
  push(lane, 5, 2);
  lane.fill(0);
  // Arrives while the batch is under way: it must not disturb its columns.
  push(lane, 7, 30);
  lane.receive(lane.model, answerOf([10, 20], [1, 2, 3, 4]));
  const result = lane.result(lane.model, 4);
  expect(result).toMatchObject({ stream: "s", model: "model", version: 1, n: 2, durationMs: 4 });
  expect(result.widths).toEqual({ score: 1, pair: 2 });
  expect([...result.sequences].slice(0, 2)).toEqual([5, 6]);
  expect([...result.sources].slice(0, 2)).toEqual([2, 0]);
  expect([...result.ts].slice(0, 2)).toEqual([5_000, 6_000]);
  expect([...result.arrived].slice(0, 2)).toEqual([2.5, 3]);
  expect([...(result.outputs.score ?? [])].slice(0, 2)).toEqual([10, 20]);
  expect([...(result.outputs.pair ?? [])].slice(0, 4)).toEqual([1, 2, 3, 4]);
  expect(lane.land()).toBe(2);
  expect([lane.oldest, lane.outstanding]).toEqual([7, 30]);
});

test("an answer that is too short is a fault, not a result of old numbers", () => {
  const lane = laneOf();
  push(lane, 0, 2);
  lane.fill(0);
  expect(() => lane.receive(lane.model, answerOf([10, 20], [1, 2, 3]))).toThrow(
    expect.objectContaining({ code: "BUG" }),
  );
});

test("a model of other widths gets room for its own", () => {
  const lane = laneOf();
  push(lane, 0, 1);
  lane.fill(0);
  lane.receive(lane.model, answerOf([1], [1, 2]));
  lane.result(lane.model, 1);
  lane.land();
  const wider = hostedModel(2);
  wider.loaded({ inputs: [], outputs: [], widths: [1, 3], providers: ["cpu"], refused: [], warmUpMs: 0 });
  push(lane, 1, 8);
  lane.fill(0);
  const triples = Array.from({ length: 24 }, (_, i) => i);
  lane.receive(wider, answerOf(Array(8).fill(7), triples));
  expect([...(lane.result(wider, 1).outputs.pair ?? [])]).toEqual(triples);
});

test("batches shrink to what a turn allows, never to nothing, and grow again when the model is fast", () => {
  const lane = laneOf({ maxWaiting: 10_000, maxBatch: 1_000 });
  const round = (durationMsPerWindow: number): number => {
    push(lane, 0, 1_000 - lane.queue.length);
    const { count } = lane.fill(0);
    lane.result(lane.model, count * durationMsPerWindow);
    lane.land();
    return count;
  };
  expect([round(1), round(1_000), round(1_000)]).toEqual([1_000, 50, 1]);
  for (let i = 0; i < 60; i++) round(0.01);
  expect(round(0.01)).toBe(1_000);
});
