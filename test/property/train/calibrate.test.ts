import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { thresholdOf } from "../../../src/train/calibrate.ts";
import { conformalQuantile, neededFor } from "../../../src/train/conformal.ts";

const rule = { alpha: 0.1, trimmed: 0, margin: 1 };

describe("a threshold", () => {
  it("is exceeded by further windows of the same kind as often as it says, and no more", () => {
    const random = seededRandom(11);
    const draw = () => Math.log(1 / (1 - random()));
    for (const { alpha, n } of [
      { alpha: 0.1, n: 100 },
      { alpha: 0.05, n: 200 },
      { alpha: 0.02, n: 731 },
    ]) {
      const rounds = 3_000;
      let above = 0;
      for (let round = 0; round < rounds; round++) {
        const quantile = conformalQuantile(Float64Array.from({ length: n }, draw), alpha);
        // The score is exponential: what lies above has this probability.
        above += Math.exp(-quantile) / rounds;
      }
      expect(above).toBeLessThan(alpha * 1.02);
      expect(above).toBeGreaterThan(alpha * 0.85);
    }
  });

  const scores = fc.array(fc.double({ min: 0.001, max: 100, noNaN: true }), { minLength: 0, maxLength: 300 });

  it("is one of the scores, does not depend on their order, and grows by the margin", () => {
    fc.assert(
      fc.property(scores, fc.constantFrom(0, 0.05), (list, trimmed) => {
        const plain = thresholdOf(list, { ...rule, trimmed });
        const wide = thresholdOf(list.toReversed(), { ...rule, trimmed, margin: 3 });
        const left = list.length - Math.floor(list.length * trimmed);
        if (left < 100) expect(plain).toMatchObject({ outcome: "kept", samples: left, needed: 100 });
        else if (plain.outcome === "calibrated" && wide.outcome === "calibrated") {
          expect(list).toContain(plain.threshold);
          expect(wide.threshold).toBeCloseTo(3 * plain.threshold, 9);
          expect(list.filter((score) => score > plain.threshold).length).toBeLessThanOrEqual(
            0.1 * left + list.length - left,
          );
        } else expect.unreachable();
      }),
    );
  });

  it("does not see the top share that is trimmed, however large", () => {
    const normal = Array.from({ length: 200 }, (_, i) => 1 + i / 1_000);
    const events = Array.from({ length: 8 }, () => 1e9);
    const seen = thresholdOf([...normal, ...events], { ...rule, trimmed: 0.04 });
    expect(seen).toEqual(
      thresholdOf(normal, rule).outcome === "calibrated" ? { ...thresholdOf(normal, rule), trimmed: 8 } : {},
    );
  });

  it("needs ten windows for each that may lie above it", () => {
    expect([0.1, 0.05, 0.01, 0.3].map(neededFor)).toEqual([100, 200, 1_000, 34]);
    expect(thresholdOf(Array(200).fill(0), rule)).toMatchObject({
      outcome: "kept",
      reason: expect.stringMatching(/0, which is no threshold/),
    });
  });
});
