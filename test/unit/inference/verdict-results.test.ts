import { describe, expect, test } from "vitest";
import { track } from "../../support/tracked-verdicts.ts";

describe("a result", () => {
  test("says what, of which sensor, when, by which version, and how long it took", () => {
    const { accept, given } = track();
    accept([{ sequence: 4, source: 2, ts: 99_000, score: 2.5, arrived: 1_000 }], 1_040);
    expect(given).toEqual([
      {
        sequence: 4,
        result: {
          id: expect.stringMatching(/^[0-9a-f]{32}$/),
          stream: "env",
          source: { site: "north", mote: "m2" },
          ts: 99_000,
          model: "climate",
          version: 7,
          outputs: { score: 2.5, expected: [2.5, -2.5] },
          score: 2.5,
          label: null,
          verdict: "alarm",
          provisional: false,
          latencyMs: 40,
        },
      },
    ]);
  });

  test("has an id that names the window: the same after a restart, another for another source or time", () => {
    const ids = (source: number, ts: number, sequence: number) => {
      const { accept, given } = track();
      accept([{ sequence, source, ts, score: 0 }]);
      return given[0]?.result.id;
    };
    expect(ids(1, 5_000, 3)).toBe(ids(1, 5_000, 800));
    expect(new Set([ids(1, 5_000, 3), ids(2, 5_000, 3), ids(1, 5_001, 3)]).size).toBe(3);
  });

  test("without a score that is a number has none, and never travels as NaN", () => {
    const { scores, given } = track();
    scores([Number.NaN]);
    expect(given[0]?.result).toMatchObject({ score: null, verdict: "unknown" });
  });

  test("that took longer than the stream's pace is marked late", () => {
    const { accept, given } = track({ lateAfterMs: 100 });
    accept([{ sequence: 0, score: 0, arrived: 0 }], 100);
    accept([{ sequence: 1, score: 0, arrived: 0 }], 101);
    expect(given.map(({ result }) => result.late)).toEqual([undefined, true]);
  });
});

describe("a replay", () => {
  test("gives no result again that was given, marks those that may have been, and passes the rest", () => {
    const { tracker, scores, given } = track();
    tracker.recover(2, 4);
    scores([0, 0, 2, 2, 0, 0]);
    expect(given.map(({ sequence, result }) => [sequence, result.repeated])).toEqual([
      [3, true],
      [4, true],
      [5, undefined],
    ]);
  });

  test("counts towards hysteresis what it does not give", () => {
    const { tracker, scores, told } = track({ onAfter: 3, when: "change" });
    tracker.recover(1, 1);
    scores([2, 2, 2]);
    expect(told()).toEqual([[2, "alarm"]]);
  });

  test("of windows that the tracker has judged does not count them twice", () => {
    const { scores, told } = track({ onAfter: 3 });
    scores([2, 2]);
    scores([2, 2]);
    expect(told()).toHaveLength(2);
    scores([2], 2);
    expect(told().at(-1)).toEqual([2, "alarm"]);
  });
});

describe("silence", () => {
  test("makes a source unknown, once, and the next window starts anew", () => {
    const { tracker, accept, tick, given, verdicts } = track({ onAfter: 2, silentAfterMs: 600, when: "change" });
    accept([{ sequence: 0, source: 1, ts: 7_000, score: 2 }], 100);
    accept([{ sequence: 1, source: 1, ts: 8_000, score: 2 }], 200);
    tick(799);
    tick(800);
    tick(5_000);
    expect(verdicts()).toEqual(["normal", "alarm", "unknown"]);
    expect(given.at(-1)).toMatchObject({
      sequence: 1,
      result: { ts: 8_000, source: { mote: "m1" }, outputs: {}, score: null, latencyMs: 600 },
    });
    expect(given.at(-1)?.result.id).not.toBe(given[1]?.result.id);
    expect(tracker.verdictOf(1)).toBe("unknown");
    accept([{ sequence: 2, source: 1, score: 2 }], 6_000);
    expect(verdicts().at(-1)).toBe("normal");
  });

  test("is counted from the last reading, whether or not it completed a window", () => {
    const { tracker, scores, tick, told } = track({ silentAfterMs: 600 });
    scores([0]);
    tracker.heard(0, 500);
    tick(1_000);
    expect(told()).toHaveLength(1);
    // Played again from the journal: it was heard long ago, which is no news.
    tracker.heard(0, 0);
    tick(1_099);
    expect(told()).toHaveLength(1);
    tick(1_100);
    expect(told()).toHaveLength(2);
  });

  test("is nothing to a source that was never judged, and to streams that do not ask", () => {
    const quiet = track({ silentAfterMs: 600 });
    quiet.tracker.heard(3, 0);
    quiet.tick(10_000);
    const never = track({ silentAfterMs: 0 });
    never.scores([0]);
    never.tick(1e9);
    expect([quiet.told(), never.told()]).toEqual([[], [[0, "normal"]]]);
  });
});

describe("a snapshot", () => {
  test("carries runs, alarms and what was published over a restart", () => {
    const before = track({ onAfter: 3, offAfter: 2, when: "change" });
    before.accept([
      { sequence: 0, source: 0, score: 2 },
      { sequence: 1, source: 0, score: 2 },
      { sequence: 2, source: 20, score: 0 },
    ]);
    const after = track({ onAfter: 3, offAfter: 2, when: "change", silentAfterMs: 600 });
    // The journal hands out Buffers, which lie somewhere in a larger piece of memory.
    after.tracker.restore(Buffer.concat([Buffer.alloc(3), before.tracker.snapshot()]).subarray(3), 1_000);
    after.tick(1_500);
    after.accept([{ sequence: 3, source: 0, score: 2 }]);
    after.accept([{ sequence: 4, source: 20, score: 0 }]);
    expect(after.told()).toEqual([[3, "alarm"]]);
  });

  test("of another format is refused", () => {
    const { tracker } = track();
    for (const bytes of [new Uint8Array(), new Uint8Array(160), tracker.snapshot().fill(7)])
      expect(() => tracker.restore(bytes, 0)).toThrow(expect.objectContaining({ code: "SHAPE_MISMATCH" }));
  });
});
