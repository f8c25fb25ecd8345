import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { Brake } from "../../../src/gateway/brake.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function braking() {
  const said: string[] = [];
  const brake = new Brake({
    pause: () => said.push("pause"),
    resume: () => said.push("resume"),
    log: silentLog,
    patienceMs: 5_000,
  });
  return { brake, said };
}

it("pauses while anything is behind, and goes on when all have caught up", () => {
  const { brake, said } = braking();
  brake.set("models", true);
  brake.set("journal", true);
  brake.set("models", true);
  brake.set("models", false);
  expect(said).toEqual(["pause"]);
  brake.set("journal", false);
  brake.set("journal", false);
  expect(said).toEqual(["pause", "resume"]);
  brake.set("models", true);
  expect(said).toEqual(["pause", "resume", "pause"]);
  expect(brake.counters).toEqual({ pauses: 2, spent: 0 });
});

it("does not pause for ever, nor again before it has caught up", () => {
  const { brake, said } = braking();
  brake.set("models", true);
  vi.advanceTimersByTime(4_999);
  expect(said).toEqual(["pause"]);
  vi.advanceTimersByTime(1);
  brake.set("journal", true);
  brake.set("journal", false);
  vi.advanceTimersByTime(60_000);
  expect(said).toEqual(["pause", "resume"]);
  brake.set("models", false);
  brake.set("models", true);
  expect(said).toEqual(["pause", "resume", "pause"]);
  expect(brake.counters).toEqual({ pauses: 2, spent: 1 });
});

it("goes on at once when it is released", () => {
  const { brake, said } = braking();
  brake.set("journal", true);
  brake.release();
  brake.release();
  vi.advanceTimersByTime(60_000);
  expect([said, brake.isPaused, brake.counters.spent]).toEqual([["pause", "resume"], false, 0]);
});

it("counts the journal as behind from 32,768 waiting readings until half of them are left", () => {
  const { brake, said } = braking();
  for (const waiting of [32_767, 32_768, 20_000, 16_384]) brake.noteReadings(waiting);
  expect(said).toEqual(["pause"]);
  brake.noteReadings(16_383);
  expect(said).toEqual(["pause", "resume"]);
});
