import { describe, expect, it } from "vitest";
import type { DocumentUse } from "../../../src/control/document-gate.ts";
import { alice, bob, cloud, issuedAt, mallory, signed, trustWorld } from "./trust-world.ts";

const set: DocumentUse = { action: "config.set" };
const erase: DocumentUse = { action: "data.erase", isDestructive: true };
const refused = (reason: string) => ({ code: "DOCUMENT_REFUSED", facts: expect.objectContaining({ reason }) });
const later = (ms: number) => new Date(1_700_000_000_000 + ms).toISOString();
const twin = (version: number, more: Record<string, unknown> = {}) => ({ kind: "twin-desired", version, ...more });

describe("the gate for signed documents", () => {
  it("takes what an operator signed, tells by whom, and writes it down", async () => {
    const { gate, told } = trustWorld();
    const accepted = await gate.accept("twin-desired", signed(twin(4), alice), set);
    expect(accepted).toMatchObject({ signedBy: ["alice"], isRepeat: false, document: { version: 4 } });
    expect(told).toEqual([expect.objectContaining({ what: "document", outcome: "accepted", by: ["alice"] })]);
    expect(gate.counts.get("accepted")).toBe(1);
  });

  it("refuses everything where there is no policy", async () => {
    const { gate } = trustWorld({ policy: null });
    await expect(gate.accept("twin-desired", signed(twin(1), alice), set)).rejects.toMatchObject(refused("policy"));
  });

  it.each([
    ["unknown-key", signed(twin(1), mallory), set],
    ["wrong-kind", signed({ kind: "command" }, alice), set],
    ["wrong-audience", signed(twin(1, { audience: "demo/gw-2" }), alice), set],
    ["wrong-audience", signed(twin(1, { audience: "other" }), alice), set],
    ["policy", signed(twin(1), cloud), set],
    ["policy", signed(twin(1), bob), { action: "keys.rotate" } as const],
    ["too-few-signatures", signed(twin(1), alice), { action: "data.erase" } as const],
    ["too-few-signatures", signed(twin(1), alice, alice), { action: "data.erase" } as const],
    ["malformed", "{", set],
    ["malformed", signed(twin(1, { issuedAt: undefined }), alice), set],
    ["malformed", signed(twin(1, { issuedAt: "yesterday" }), alice), set],
    ["malformed", signed(twin(-1), alice), set],
    ["malformed", signed(twin(2 ** 53), alice), set],
    // A version that no clock has come to: none could follow it, and a reset at the site keeps it.
    ["malformed", signed(twin(2 ** 52), alice), set],
    ["malformed", signed(twin(Date.parse(issuedAt) + 1), alice), set],
    ["expired", signed(twin(1, { expires: later(0) }), alice), set],
    ["expired", signed(twin(1, { issuedAt: later(48 * 3_600_000) }), alice), set],
  ])("refuses for %s, counts and writes it down", async (reason, envelope, use) => {
    const { gate, told, values } = trustWorld();
    await expect(gate.accept("twin-desired", envelope, use)).rejects.toMatchObject(refused(reason));
    expect(told).toEqual([expect.objectContaining({ outcome: "refused", reason })]);
    expect([...gate.counts]).toEqual([[reason, 1]]);
    expect([...values.keys()]).toEqual([]);
  });

  it("refuses what is older, and the same version saying another thing, also after a restart", async () => {
    const { gate, newGate, told } = trustWorld();
    const newest = signed(twin(5), alice);
    await gate.accept("twin-desired", newest, set);
    for (const at of [gate, newGate()]) {
      await expect(at.accept("twin-desired", signed(twin(4), alice), set)).rejects.toMatchObject(
        refused("old-version"),
      );
      const other = signed(twin(5, { config: {} }), bob);
      await expect(at.accept("twin-desired", other, set)).rejects.toMatchObject(refused("old-version"));
      // A broker gives a retained document again with every connection, and others may have signed it too.
      expect(await at.accept("twin-desired", newest, set)).toMatchObject({ isRepeat: true });
      expect(await at.accept("twin-desired", signed(twin(5), bob, alice), set)).toMatchObject({ isRepeat: true });
    }
    expect(told.filter(({ outcome }) => outcome === "accepted")).toHaveLength(1);
  });

  it("takes each command once, and calls it old, not expired, when it comes again late", async () => {
    const { gate, newGate, clock } = trustWorld();
    const command = signed({ kind: "command", version: 9, expires: later(60_000) }, alice);
    await gate.accept("command", command, set);
    clock.advance(120_000);
    await expect(gate.accept("command", command, set)).rejects.toMatchObject(refused("old-version"));
    await expect(newGate().accept("command", command, set)).rejects.toMatchObject(refused("old-version"));
  });

  it("keeps a version for each subject and audience", async () => {
    const { gate } = trustWorld();
    const round = (subject: string, version: number, audience = "demo") =>
      signed({ kind: "round", subject, version, audience }, cloud);
    const use = { action: "round.start", resource: { model: "mote-anomaly" } } as const;
    await gate.accept("round", round("mote-anomaly", 7), use);
    await gate.accept("round", round("mote-forecast", 3), use);
    await gate.accept("round", round("mote-anomaly", 2, "demo/gw-1"), use);
    await expect(gate.accept("round", round("mote-forecast", 2), use)).rejects.toMatchObject(refused("old-version"));
    const other = { ...use, resource: { model: "digits" } };
    await expect(gate.accept("round", round("digits", 9), other)).rejects.toMatchObject(refused("policy"));
  });

  it("asks destructive documents for its challenge, each of which serves once", async () => {
    const { gate, newGate, values } = trustWorld();
    const saved = new Map(values);
    const command = (version: number, challenge?: string) =>
      signed({ kind: "command", version, ...(challenge ? { challenge } : {}) }, alice, bob);
    await expect(gate.accept("command", command(1), erase)).rejects.toMatchObject(refused("challenge"));
    const first = gate.challenge;
    const used = command(2, first);
    await gate.accept("command", used, erase);
    expect(gate.challenge).not.toBe(first);
    await expect(gate.accept("command", command(3, first), erase)).rejects.toMatchObject(refused("challenge"));
    // Yesterday's state.db is put back: the version alone would let it in again.
    values.clear();
    for (const [name, value] of saved) values.set(name, value);
    await expect(gate.accept("command", used, erase)).rejects.toMatchObject(refused("challenge"));
    await expect(newGate().accept("command", used, erase)).rejects.toMatchObject(refused("challenge"));
  });

  it("judges one after another: of two at once with one challenge the second is refused", async () => {
    const { gate } = trustWorld();
    const { challenge } = gate;
    const both = [1, 2].map((version) =>
      gate.accept("command", signed({ kind: "command", version, challenge }, alice, bob), erase),
    );
    const outcomes = await Promise.allSettled(both);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });

  it("acts on nothing whose version could not be made durable", async () => {
    const world = trustWorld();
    const { clock, values } = world;
    const gate = world.newGate();
    values.set = () => {
      throw new Error("disk full");
    };
    await expect(gate.accept("twin-desired", signed(twin(1), alice), set)).rejects.toThrow("disk full");
    expect(clock.now()).toBe(1_700_000_000_000);
    expect(world.told).toEqual([]);
  });
});

describe("expiry without a clock that is kept", () => {
  const round = (version: number, more: Record<string, unknown> = {}) =>
    signed({ kind: "round", subject: "mote-anomaly", version, ...more }, cloud);
  const use = { action: "round.start", resource: { model: "mote-anomaly" } } as const;

  it("is judged by what a coordinator has signed and the time since, never by the clock on the wall", async () => {
    const world = trustWorld({ isSynchronized: false });
    const { gate, clock, keeper } = world;
    clock.jump(4_000_000_000_000);
    await gate.accept("twin-desired", signed(twin(1, { expires: later(60_000) }), alice), set);
    await gate.accept("round", round(1), use);
    await gate.accept("twin-desired", signed(twin(2, { expires: later(60_000) }), alice), set);
    clock.advance(60_000);
    const stale = signed(twin(3, { expires: later(60_000) }), alice);
    await expect(gate.accept("twin-desired", stale, set)).rejects.toMatchObject(refused("expired"));
    const restarted = world.newTime();
    await restarted.load();
    expect(restarted.atLeast).toBe(Date.parse(issuedAt));
    keeper.isSynchronized = true;
    expect(world.trustedTime.now).toBe(clock.now());
  });

  it("does not let an operator's clock move time", async () => {
    const { gate, trustedTime } = trustWorld({ isSynchronized: false });
    await gate.accept("twin-desired", signed(twin(1, { issuedAt: later(1e10) }), alice), set);
    expect(trustedTime.atLeast).toBe(0);
  });
});
