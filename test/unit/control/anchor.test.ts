import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Anchor, anchorFile } from "../../../src/control/anchor.ts";
import { DocumentGate } from "../../../src/control/document-gate.ts";
import { alice, signed, trustWorld } from "./trust-world.ts";

describe("the anchor of state.db", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tidegate-anchor-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A gateway's start on these values of state.db. */
  async function started(values: Map<string, Uint8Array>, hasPast = false) {
    const state = {
      stateGet: async (name: string) => values.get(name) ?? null,
      statePut: async (name: string, value: Uint8Array) => void values.set(name, value),
    };
    const anchor = new Anchor({ dataDir: dir, storageRoot: new Uint8Array(32).fill(5), state });
    await anchor.load(hasPast);
    return { anchor, state };
  }

  it("holds over starts, and after a cut between its two places", async () => {
    const values = new Map<string, Uint8Array>();
    const { anchor } = await started(values);
    expect(anchor.fault).toBeNull();
    await anchor.advance();
    copyFileSync(anchorFile(dir), join(dir, "before"));
    await anchor.advance();
    expect((await started(values)).anchor.fault).toBeNull();
    copyFileSync(join(dir, "before"), anchorFile(dir));
    const again = await started(values);
    expect(again.anchor.fault).toBeNull();
    await again.anchor.advance();
    expect((await started(values)).anchor.fault).toBeNull();
  });

  it("tells a state.db that is new, older or another one, and takes it once somebody says so", async () => {
    const values = new Map<string, Uint8Array>();
    const { anchor } = await started(values);
    await anchor.advance();
    const older = new Map(values);
    await anchor.advance();
    expect((await started(older)).anchor.fault).toBe("state.db is an older copy: it knows 1 documents of 2");
    const lost = new Map<string, Uint8Array>();
    const found = await started(lost);
    expect(found.anchor.fault).toBe("state.db was lost: it is new");
    // The next start does not take its silence for consent.
    expect((await started(lost)).anchor.fault).toBe("state.db was lost: it is new");
    await found.anchor.renew();
    expect(found.anchor.fault).toBeNull();
    expect((await started(lost)).anchor.fault).toBeNull();
    expect((await started(values)).anchor.fault).toBe("state.db is another one");
  });

  it("tells that its own file is gone or another's, where something was accepted", async () => {
    const values = new Map<string, Uint8Array>();
    const { anchor } = await started(values);
    rmSync(anchorFile(dir));
    expect((await started(values)).anchor.fault).toBeNull();
    await anchor.advance();
    rmSync(anchorFile(dir));
    expect((await started(values)).anchor.fault).toContain("was lost");
    writeFileSync(anchorFile(dir), "x".repeat(80));
    expect((await started(values)).anchor.fault).toContain("is not this gateway's");
  });

  it("counts the loss of both where something else tells of a past", async () => {
    expect((await started(new Map(), true)).anchor.fault).toBe("state.db was lost: it is new");
  });

  it("keeps the gate shut", async () => {
    const { values, told, trustedTime } = trustWorld();
    const { anchor } = await started(values);
    await anchor.advance();
    const world = trustWorld();
    const lost = await started(world.values);
    const gate = new DocumentGate({
      ...{
        fleet: "demo",
        gateway: "gw-1",
        state: lost.state,
        audit: { append: async (entry) => void told.push(entry) },
      },
      ...{ trustedTime, policy: () => world.policy, log: world.log, anchor: lost.anchor },
    });
    const document = signed({ kind: "twin-desired" }, alice);
    const use = { action: "config.set" } as const;
    await expect(gate.accept("twin-desired", document, use)).rejects.toMatchObject({ facts: { reason: "unanchored" } });
    expect(told).toEqual([expect.objectContaining({ outcome: "refused", reason: "unanchored" })]);
    await lost.anchor.renew();
    await gate.accept("twin-desired", document, use);
    expect((await started(new Map(world.values))).anchor.fault).toBeNull();
  });
});
