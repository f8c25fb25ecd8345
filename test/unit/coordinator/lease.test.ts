import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { type Lease, LeaseWatch, outranks, readLease, signLease } from "../../../src/coordinator/lease.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";

const lease = (epoch: number, instance: string, isEnded = false): Lease => ({
  epoch,
  instance: instance.padStart(16, "0"),
  isEnded,
});

describe("the lease of a coordinator", () => {
  it("lasts until it has not been heard for its time, by the listener's own clock", () => {
    const clock = new FakeClock();
    const watch = new LeaseWatch(clock, 15_000);
    expect(watch.leader).toBeNull();
    watch.heard(lease(1, "a"), 1);
    clock.advance(14_999);
    expect(watch.leader).toMatchObject({ epoch: 1 });
    watch.heard(lease(1, "a"), 2);
    // Somebody sets the wall clock: nothing happens.
    clock.jump(0);
    clock.advance(14_999);
    expect(watch.leader).not.toBeNull();
    clock.advance(1);
    expect(watch.leader).toBeNull();
  });

  it("ends at once when its holder says so", () => {
    const watch = new LeaseWatch(new FakeClock(), 15_000);
    watch.heard(lease(1, "a"), 1);
    watch.heard(lease(1, "a", true), 2);
    expect(watch.leader).toBeNull();
    // Somebody who kept what it said before says it again.
    watch.heard(lease(1, "a"), 1);
    expect(watch.leader).toBeNull();
  });

  it("is not renewed by whoever repeats it", () => {
    const clock = new FakeClock();
    const watch = new LeaseWatch(clock, 15_000);
    watch.heard(lease(1, "a"), 7);
    clock.advance(10_000);
    watch.heard(lease(1, "a"), 7);
    watch.heard(lease(1, "a", true), 6);
    expect(watch.leader).not.toBeNull();
    clock.advance(5_000);
    expect(watch.leader).toBeNull();
  });

  it("of two that both lead, one and the same goes on for either of them", () => {
    for (const [a, b] of [
      [lease(2, "a"), lease(1, "b")],
      [lease(3, "b"), lease(3, "a")],
    ] as const) {
      expect(outranks(a, b)).toBe(true);
      expect(outranks(b, a)).toBe(false);
    }
  });

  it("is told apart by who signed it: a known key, or a stranger", () => {
    const [own, other] = [ephemeralKeyRing(), ephemeralKeyRing()];
    const text = (keys: typeof own, fleet = "demo") => Buffer.from(signLease(fleet, 3, lease(4, "c"), keys.signer));
    const trusted = [own.signer.publicKey];
    expect(readLease(text(own), "demo", trusted)).toMatchObject({ told: lease(4, "c"), version: 3, isStranger: false });
    expect(readLease(text(other), "demo", trusted)).toMatchObject({ told: lease(4, "c"), isStranger: true });
    for (const rubbish of ["", "{}", "[]", "null", '{"payload":"e30="}', text(own, "other")])
      expect(readLease(Buffer.from(rubbish), "demo", trusted)).toBeNull();
  });
});
