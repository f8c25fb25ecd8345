import { hash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { PartAssembly } from "../../../src/coordinator/part-assembly.ts";
import type { UpdatePart } from "../../../src/federated/update-parts.ts";

const bytes = Uint8Array.from({ length: 1_000 }, (_, i) => i % 256);

/** The parts of an update of 1,000 bytes, 400 in each. */
function partsOf(gateway: string, update = bytes, changed: Partial<UpdatePart["head"]> = {}): UpdatePart[] {
  const whole = {
    fleet: "demo",
    gateway,
    model: "m",
    round: 1,
    update: hash("sha256", update, "hex"),
    size: update.length,
  };
  return [0, 1, 2].map((n) => ({
    head: { ...whole, n, of: 3, hash: "", to: "", signer: new Uint8Array(32), ...changed },
    piece: update.subarray(n * 400, (n + 1) * 400),
  }));
}

const [a, b, c] = partsOf("gw-1") as [UpdatePart, UpdatePart, UpdatePart];

describe("parts of updates", () => {
  it("become the whole, whatever their order, and leave nothing behind", () => {
    const assembly = new PartAssembly(10_000);
    expect(assembly.add(c)).toEqual({ state: "partial", missing: [0, 1], isRepeat: false });
    expect(assembly.add(a)).toEqual({ state: "partial", missing: [1], isRepeat: false });
    expect(assembly.add(a)).toEqual({ state: "partial", missing: [1], isRepeat: true });
    expect(assembly.bytes).toBe(600);
    expect(assembly.add(b)).toEqual({ state: "whole", update: Buffer.from(bytes) });
    expect([assembly.bytes, assembly.transfers]).toEqual([0, 0]);
  });

  it("of another attempt do not mix", () => {
    const assembly = new PartAssembly(10_000);
    assembly.add(a);
    assembly.add(b);
    const other = partsOf("gw-1", bytes.toReversed()) as [UpdatePart, UpdatePart, UpdatePart];
    expect(assembly.add(other[2])).toMatchObject({ state: "partial", missing: [0, 1] });
    expect(assembly.bytes).toBe(200);
  });

  it("of an update that came before and is refused now do not take away those of the one under way", () => {
    const assembly = new PartAssembly(10_000);
    assembly.add(a);
    const [old] = partsOf(
      "gw-1",
      bytes.map((byte) => byte ^ 1),
    ) as [UpdatePart];
    assembly.forget(old.head);
    assembly.add(b);
    expect(assembly.add(c)).toMatchObject({ state: "whole" });
  });

  it("that do not make what they name are broken", () => {
    const assembly = new PartAssembly(10_000);
    const lied = partsOf("gw-1", bytes, { update: "0".repeat(64) });
    expect(lied.map((part) => assembly.add(part).state)).toEqual(["partial", "partial", "broken"]);
    const longer = partsOf("gw-1", bytes, { size: 700 });
    expect(longer.map((part) => assembly.add(part).state)).toContain("broken");
    expect(assembly.bytes).toBeLessThanOrEqual(400);
  });

  it("take no more memory than they may: the one that has waited longest goes", () => {
    const assembly = new PartAssembly(2_000);
    for (let i = 0; i < 10; i++) assembly.add((partsOf(`gw-${i}`) as [UpdatePart])[0]);
    expect(assembly.bytes).toBeLessThanOrEqual(2_000);
    expect(assembly.evicted).toBe(5);
    // It is asked for all that it has lost.
    expect(assembly.add((partsOf("gw-0") as [UpdatePart, UpdatePart])[1])).toMatchObject({ missing: [0, 2] });
  });
});
