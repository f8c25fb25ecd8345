import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Committer, type CommitterOptions } from "../../../src/gateway/committer.ts";

/** A disk that takes commits until it is told to fail, and a broker that sees what was released. */
function setUp(options: Partial<CommitterOptions<number[]>> = {}) {
  const clock = new FakeClock();
  const disk: number[] = [];
  const events: string[] = [];
  const waiting: number[] = [];
  let ticket = 0;
  const state = { isBroken: false, shed: 0, failing: null as string | null };
  const committer = new Committer<number[]>({
    maxDelayMs: 200,
    maxHeld: () => 10,
    maxReadings: 100,
    onFull: "shed",
    clock,
    log: silentLog,
    waiting: () => ({ held: waiting.length, readings: waiting.length }),
    collect: () => {
      if (waiting.length === 0) return null;
      const commit = waiting.splice(0);
      const onShed = () => {
        state.shed += commit.length;
      };
      return { commit, readings: commit.length, ticket, onDurable: () => {}, onShed };
    },
    write: async (commit) => {
      if (state.isBroken) throw new Error("no space left");
      disk.push(...commit);
      events.push(`fsync ${commit.length}`);
    },
    release: (upTo) => events.push(`ack ${upTo}`),
    onFailing: (reason) => {
      state.failing = reason;
    },
    ...options,
  });
  const receive = (n = 1) => {
    for (let i = 0; i < n; i++) {
      waiting.push(++ticket);
      committer.wake();
    }
  };
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(50);
      await vi.advanceTimersByTimeAsync(50);
    }
  };
  return { committer, clock, disk, events, state, receive, pass };
}

describe("the committer", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("acknowledges after the fsync, once for all that came within the delay", async () => {
    const { events, receive, pass } = setUp();
    receive(3);
    await pass(150);
    expect(events).toEqual([]);
    await pass(100);
    expect(events).toEqual(["fsync 3", "ack 3"]);
  });

  it("does not wait when half of the window is held", async () => {
    const { events, receive, pass } = setUp();
    receive(10);
    await pass(50);
    expect(events).toEqual(["fsync 10", "ack 10"]);
  });

  it("goes on at once with what gathered during a commit, though nothing more comes in", async () => {
    const open = Promise.withResolvers<void>();
    const { events, receive, pass } = setUp({ maxDelayMs: 60_000, write: () => open.promise });
    receive(10);
    await pass(50);
    receive(20);
    await pass(50);
    expect(events).toEqual([]);
    open.resolve();
    await pass(50);
    expect(events).toEqual(["ack 10", "ack 30"]);
  });

  it("acknowledges nothing while the disk fails, and everything when it is back", async () => {
    const { events, state, disk, receive, pass } = setUp();
    state.isBroken = true;
    receive(2);
    await pass(3_000);
    expect(events).toEqual([]);
    expect(state.failing).toBe("no space left");
    state.isBroken = false;
    await pass(3_000);
    expect(disk).toEqual([1, 2]);
    expect(events).toEqual(["fsync 2", "ack 2"]);
    expect(state.failing).toBeNull();
  });

  it("gives up after ten seconds, acknowledges and counts, so that decisions go on", async () => {
    const { events, state, receive, pass } = setUp();
    state.isBroken = true;
    receive(2);
    await pass(15_000);
    expect(state.shed).toBe(2);
    expect(events).toEqual(["ack 2"]);
  });

  it("never gives up when it is told to hold", async () => {
    const { events, state, receive, pass } = setUp({ onFull: "hold" });
    state.isBroken = true;
    receive(2);
    await pass(60_000);
    expect(state.shed).toBe(0);
    expect(events).toEqual([]);
  });

  it("keeps nobody waiting who only reads, while a disk that fails is waited for", async () => {
    const { committer, disk, state, receive, pass } = setUp({ onFull: "hold" });
    state.isBroken = true;
    receive();
    const begun = committer.flushUnlessFailing();
    await pass(50);
    await begun;
    await pass(60_000);
    receive();
    await committer.flushUnlessFailing();
    expect(disk).toEqual([]);
    state.isBroken = false;
    await pass(60_000);
    receive();
    await committer.flushUnlessFailing();
    expect(disk).toEqual([1, 2, 3]);
  });

  it("commits what waits when it is flushed", async () => {
    const { committer, events, receive } = setUp();
    receive(1);
    await committer.flush();
    expect(events).toEqual(["fsync 1", "ack 1"]);
  });
});
