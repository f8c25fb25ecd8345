import { describe, expect, it, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { blockBootstrap } from "../../../src/train/bootstrap.ts";
import { compareVersions, type Version } from "../../../src/train/compare.ts";
import { decide, type GateEvidence, type Paired } from "../../../src/train/gate.ts";
import { splitByTime } from "../../../src/train/splits.ts";
import { floats } from "../../support/run-model.ts";
import { windowCard, windowData } from "../../support/window-data.ts";

/** Losses of two versions in `blocks` blocks of ten; the candidate's are `factor` times the other's, and noise. */
function paired(factor: number, { blocks = 30, noise = 0.02, seed = 1 } = {}): Paired {
  const random = seededRandom(seed);
  const active = Float64Array.from({ length: 10 * blocks }, () => 0.5 + random());
  return {
    active,
    candidate: active.map((loss) => loss * factor + noise * (random() - 0.5)),
    blocks: Int32Array.from({ length: 10 * blocks }, (_, i) => Math.floor(i / 10)),
  };
}

const alarms = (candidate: number, active: number): Paired => ({
  candidate: Float64Array.from({ length: 1_000 }, (_, i) => Number(i % 100 < candidate)),
  active: Float64Array.from({ length: 1_000 }, (_, i) => Number(i % 100 < active)),
  blocks: Int32Array.from({ length: 1_000 }, (_, i) => Math.floor(i / 20)),
});

const bothFind = { candidate: [true, true], active: [true, false] };

describe("a candidate", () => {
  const better = paired(0.8);
  const cases: [string, GateEvidence, string, RegExp][] = [
    ["that is better takes over", { losses: better }, "passed", /it is better/],
    ["that is worse does not", { losses: paired(1.2) }, "failed", /it is worse/],
    ["that is much the same does not either", { losses: paired(1, { noise: 0.5 }) }, "kept", /is not shown/],
    ["on too few blocks of time is not judged", { losses: paired(0.5, { blocks: 9 }) }, "kept", /in 9 blocks/],
    [
      "with a loss that is not finite fails",
      { losses: { ...better, candidate: better.candidate.with(3, Number.NaN) } },
      "failed",
      /not finite/,
    ],
    [
      "that misses a reference event fails, however small its loss",
      { losses: better, events: { candidate: [true, false, true], active: [true, true, false] } },
      "failed",
      /of 3 reference events it no longer finds number 2/,
    ],
    [
      "that alarms more often on normal windows fails",
      { losses: better, falseAlarms: alarms(5, 1), events: bothFind },
      "failed",
      /there are more/,
    ],
    [
      "that alarms as before takes over",
      { losses: better, falseAlarms: alarms(1, 1), events: bothFind },
      "passed",
      /better/,
    ],
    [
      "that raises alarms is kept where no event can be tried",
      { losses: better, falseAlarms: alarms(1, 1) },
      "kept",
      /no reference event/,
    ],
  ];
  it("that has no threshold of its own is kept", () => {
    const decision = decide({ losses: better, uncalibrated: "12 windows are too few" }, { seed: 1 });
    expect(decision).toMatchObject({ outcome: "kept", reasons: ["12 windows are too few", expect.anything()] });
  });

  test.each(cases)("%s", (_what, evidence, outcome, reason) => {
    const decision = decide(evidence, { seed: 1 });
    expect(decision.outcome).toBe(outcome);
    expect(decision.reasons[0]).toMatch(reason);
    // The same evidence, the same decision.
    expect(decide(evidence, { seed: 1 })).toEqual(decision);
  });

  it("that is better by less than the margin is kept", () => {
    expect(decide({ losses: better }, { seed: 1, margin: 0.3 }).outcome).toBe("kept");
    expect(decide({ losses: better }, { seed: 1, margin: 0.1 }).outcome).toBe("passed");
  });

  it("that differs by chance alone seldom passes", () => {
    const outcomes = Array.from(
      { length: 60 },
      (_, seed) => decide({ losses: paired(1, { noise: 1, seed }) }, { seed, resamples: 300 }).outcome,
    );
    expect(outcomes.filter((outcome) => outcome === "passed").length).toBeLessThanOrEqual(5);
    expect(outcomes.filter((outcome) => outcome === "kept").length).toBeGreaterThan(48);
  });
});

it("an interval is as wide as the blocks differ, not as narrow as their repeats would make it", () => {
  const random = seededRandom(3);
  const values = Float64Array.from({ length: 40 }, () => random());
  const repeated = Float64Array.from({ length: 4_000 }, (_, i) => values[Math.floor(i / 100)] ?? 0);
  const width = (list: Float64Array, size: number) => {
    const blocks = Int32Array.from(list, (_, i) => Math.floor(i / size));
    const { low, high } = blockBootstrap(list, blocks, { seed: 1 });
    return high - low;
  };
  // Of 40 uniform numbers: four standard errors of 0.289 / sqrt(40).
  expect(width(repeated, 100)).toBeGreaterThan(0.12);
  expect(width(repeated, 100)).toBeLessThan(0.25);
  expect(width(repeated, 1)).toBeLessThan(0.03);
});

describe("two versions over the same data", () => {
  /** Foretells the newest reading times `factor`; scores by how large it is. */
  const version = (factor: number, threshold: number, scale: number): Version => {
    const g = new GraphBuilder();
    const window = g.input("window", "float32", ["batch", 2, 1]);
    const newest = g.squeeze(g.slice(window, { starts: [1], ends: [2], axes: [1] }), [1]);
    g.initializer("scale", floats([1], [scale]));
    g.output("y", g.mul(newest, factor));
    g.output("score", g.squeeze(g.div(newest, threshold), [1]));
    const card = windowCard(2, {
      task: "anomaly",
      outputs: [
        { name: "y", kind: "value", dims: ["batch", 1] },
        { name: "score", kind: "score", dims: ["batch"] },
      ],
      verdict: { output: "score", above: 1 },
      loss: { kind: "mse", output: "y", scale: "scale" },
      target: { kind: "next" },
    });
    return { model: g.model, card };
  };
  const { data, push } = windowData(version(1, 1, 1).card, { fields: ["a", "event"], eventField: "event" });
  push(
    "one",
    Array.from({ length: 400 }, (_, i) => [i % 100 === 50 ? 9 : 2, Number(i % 100 === 50)]),
  );
  const set = data.finish();
  const { test: examples } = splitByTime(set, { train: 0.4, validation: 0, calibration: 0, test: 0.6 });

  it("are compared in the active one's unit", async () => {
    // The candidate foretells half of it, and has a scale that would make any error small.
    const evidence = await compareVersions(version(0.5, 5, 1_000), version(1, 5, 2), set, examples);
    const normal = examples.findIndex((example) => !set.marked[example]);
    expect(evidence.losses.active[normal]).toBe(0);
    expect(evidence.losses.candidate[normal]).toBeCloseTo((1 / 2) ** 2, 6);
    expect(decide(evidence, { seed: 1, needsEvents: false }).outcome).toBe("failed");
  });

  it("that rebuild their own scaled input are compared by what is left of it, whatever the scale", async () => {
    /** Rebuilds `share` of the window, after dividing it by `scale`. */
    const rebuilding = (share: number, scale: number): Version => {
      const g = new GraphBuilder();
      const window = g.input("window", "float32", ["batch", 2, 1]);
      const scaled = g.div(window, scale, { name: "scaled" });
      g.output("y", g.mul(scaled, share));
      const card = windowCard(2, {
        task: "anomaly",
        outputs: [{ name: "y", kind: "value", dims: ["batch", 2, 1] }],
        loss: { kind: "mse", output: "y" },
        target: { kind: "input", value: "scaled" },
      });
      return { model: g.model, card };
    };
    const same = await compareVersions(rebuilding(0.5, 100), rebuilding(0.5, 1), set, examples);
    same.losses.active.forEach((loss, i) => {
      expect(same.losses.candidate[i]).toBeCloseTo(loss, 5);
    });
    expect(decide(same, { seed: 1 }).outcome).toBe("kept");
    const better = await compareVersions(rebuilding(0.9, 0.01), rebuilding(0.5, 1), set, examples);
    expect(decide(better, { seed: 1 })).toMatchObject({
      outcome: "passed",
      lossChange: { mean: expect.closeTo(-0.96, 3) },
    });
  });

  it("are tried on reference events, and on how often they alarm without one", async () => {
    const all = Int32Array.from(set.first, (_, i) => i);
    const reference = { data: set, examples: all };
    const evidence = await compareVersions(version(1, 10, 1), version(1, 5, 1), set, examples, reference);
    expect(evidence.events).toEqual({ candidate: [false, false, false, false], active: [true, true, true, true] });
    expect(evidence.falseAlarms?.active.every((each) => each === 0)).toBe(true);
    const nervous = await compareVersions(version(1, 1, 1), version(1, 5, 1), set, examples, reference);
    expect(nervous.falseAlarms?.candidate.every((each) => each === 1)).toBe(true);
    expect(decide(nervous, { seed: 1 }).outcome).toBe("failed");
  });
});
