import { describe, expect, test } from "vitest";
import { track } from "../../support/tracked-verdicts.ts";

const nan = Number.NaN;

describe("hysteresis", () => {
  test("an alarm comes after so many alarming windows in a row and goes after so many normal ones", () => {
    const { scores, verdicts } = track({ onAfter: 2, offAfter: 3 });
    scores([0, 2, 0, 2, 2, 0, 0, 2, 0, 0, 0, 2]);
    const [n, a] = ["normal", "alarm"];
    expect(verdicts()).toEqual([n, n, n, n, a, a, a, a, a, a, n, n]);
  });

  test("a window that the model could not judge neither raises nor ends an alarm, and breaks no promise of 'in a row'", () => {
    const { scores, verdicts } = track({ onAfter: 2, offAfter: 2 });
    scores([nan, 2, nan, 2, 2, nan, 0, nan, 0, 0]);
    const [n, a, u] = ["normal", "alarm", "unknown"];
    expect(verdicts()).toEqual([u, n, u, n, a, a, a, a, a, n]);
  });

  test("sources are judged apart", () => {
    const { accept, verdicts, tracker } = track({ onAfter: 2 });
    accept([
      { sequence: 0, source: 0, score: 2 },
      { sequence: 1, source: 40, score: 2 },
      { sequence: 2, source: 40, score: 2 },
      { sequence: 3, source: 0, score: 0 },
    ]);
    expect(verdicts()).toEqual(["normal", "normal", "alarm", "normal"]);
    expect([tracker.verdictOf(0), tracker.verdictOf(40), tracker.verdictOf(7), tracker.verdictOf(99)]).toEqual([
      "normal",
      "alarm",
      null,
      null,
    ]);
  });
});

describe("what is published", () => {
  test("on change: the first verdict, and each that differs from the one before", () => {
    const { scores, told } = track({ when: "change" });
    scores([0, 0, 2, 2, 0, 0]);
    expect(told()).toEqual([
      [0, "normal"],
      [2, "alarm"],
      [4, "normal"],
    ]);
  });

  test("on alarm: every alarm and the end of it, nothing else", () => {
    const { scores, told } = track({ when: "alarm" });
    scores([0, 2, 2, 0, 0]);
    expect(told()).toEqual([
      [1, "alarm"],
      [2, "alarm"],
      [3, "normal"],
    ]);
  });

  test("the interval thins out what repeats, by the sensor's own time", () => {
    const { scores, told } = track({ when: "all", minIntervalMs: 3_000 });
    scores([0, 0, 0, 0, 0, 0, 0]);
    expect(told().map(([sequence]) => sequence)).toEqual([0, 3, 6]);
  });

  test("the interval never delays an alarm, and delays the end of one without swallowing it", () => {
    const { scores, told } = track({ when: "change", minIntervalMs: 3_000 });
    scores([0, 2, 0, 0, 0, 0]);
    expect(told()).toEqual([
      [0, "normal"],
      [1, "alarm"],
      [4, "normal"],
    ]);
  });

  test("a sensor whose clock jumps back does not fall silent for the length of the jump", () => {
    const { accept, told } = track({ minIntervalMs: 3_000 });
    accept([
      { sequence: 0, ts: 1_000_000, score: 0 },
      { sequence: 1, ts: 1_000, score: 0 },
    ]);
    expect(told()).toHaveLength(2);
  });
});
