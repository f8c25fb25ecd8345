import { expect, it } from "vitest";
import { isSelected } from "../../../src/federated/selection.ts";
import { roundOf } from "../../support/rounds.ts";

const fleet = Array.from({ length: 10_000 }, (_, i) => `gw-${i}`);
const quorum = { min: 1, target: 1, overSelection: 1.3 };

it("selects the share that the round asks for, with what it expects to drop out", () => {
  const selected = fleet.filter((gateway) => isSelected(gateway, roundOf({ fraction: 0.1, quorum })));
  // Standard deviation of the count: 34.
  expect(Math.abs(selected.length - 1_300)).toBeLessThan(140);
});

it("draws others for the next round", () => {
  const [first, second] = [5, 6].map(
    (round) => new Set(fleet.filter((gateway) => isSelected(gateway, roundOf({ round, fraction: 0.1, quorum })))),
  );
  const both = [...(first ?? [])].filter((gateway) => second?.has(gateway)).length;
  expect(both).toBeLessThan(260);
});

it("takes everybody where all are wanted", () => {
  expect(fleet.every((gateway) => isSelected(gateway, roundOf({ fraction: 1 })))).toBe(true);
});
