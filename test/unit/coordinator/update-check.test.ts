import { describe, expect, it } from "vitest";
import { refuseHead, UsualNorm } from "../../../src/coordinator/update-check.ts";
import type { PartHead } from "../../../src/federated/update-parts.ts";
import { roundOf } from "../../support/rounds.ts";

const headOf = (changed: Partial<PartHead> = {}): PartHead => ({
  ...{ fleet: "demo", gateway: "gw-1", model: "mote-anomaly", round: 5, update: "", size: 100, n: 0, of: 1, hash: "" },
  ...{ to: "", signer: new Uint8Array(32), ...changed },
});
const current = roundOf();

describe("the head of an update", () => {
  it("of the open round may go on", () => expect(refuseHead(headOf(), current, current)).toBeNull());

  it("of a round that has ended is late, and nothing is wrong with it", () => {
    const stale = { status: "stale", reason: "closed" };
    expect(refuseHead(headOf({ round: 4 }), current, roundOf({ round: 4 }))).toEqual(stale);
    expect(refuseHead(headOf({ round: 1 }), current, null)).toEqual(stale);
  });

  it("of a round that never was is refused", () => {
    expect(refuseHead(headOf({ round: 6 }), current, null)).toEqual({ status: "rejected", reason: "other-round" });
  });

  it("of an asynchronous round may be as old as the round says", () => {
    const open = roundOf({ maxStaleness: 2 });
    expect(refuseHead(headOf({ round: 3 }), open, roundOf({ round: 3 }))).toBeNull();
    expect(refuseHead(headOf({ round: 2 }), open, roundOf({ round: 2 }))).toMatchObject({ reason: "closed" });
  });

  it("of a gateway that was not drawn is refused", () => {
    const few = roundOf({ fraction: 0.2 });
    const answers = Array.from({ length: 200 }, (_, i) => refuseHead(headOf({ gateway: `gw-${i}` }), few, few));
    const refused = answers.filter((answer) => answer?.reason === "not-selected").length;
    expect(refused).toBeGreaterThan(130);
    expect(refused).toBeLessThan(190);
  });

  it("of more than an update of the round can have is refused", () => {
    expect(refuseHead(headOf({ size: 10_000_000 }), current, current)).toMatchObject({ reason: "too-large" });
  });
});

describe("the usual length of updates", () => {
  it("tells one that is out of all proportion, once there are some to compare with", () => {
    const usual = new UsualNorm();
    for (let i = 0; i < 4; i++) usual.add(1);
    expect(usual.isFarAbove(1_000)).toBe(false);
    usual.add(1.5);
    expect(usual.isFarAbove(1_000)).toBe(true);
    expect(usual.isFarAbove(50)).toBe(false);
  });

  it("follows a fleet whose updates become shorter", () => {
    const usual = new UsualNorm();
    for (let i = 0; i < 300; i++) usual.add(2 ** (-i / 10));
    expect(usual.isFarAbove(1)).toBe(true);
  });
});
