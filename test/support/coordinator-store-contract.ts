import { beforeEach, describe, expect, it } from "vitest";
import {
  type AcceptedUpdate,
  type CoordinatorStore,
  keptChanges,
  type ModelVersion,
} from "../../src/coordinator/coordinator-store.ts";
import { roundOf } from "./rounds.ts";

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const model = "mote-anomaly";

export const versionOf = (version: number, changed: Partial<ModelVersion> = {}): ModelVersion => ({
  ...{ model, version, parent: null, hash: String(version).padStart(64, "0"), tensors: {}, metrics: {}, at: 5 },
  root: "e".repeat(64),
  state: new Uint8Array(0),
  exact: null,
  weights: new Uint8Array(16).fill(version),
  ...changed,
});

export const acceptedOf = (gateway: string, changed: Partial<AcceptedUpdate> = {}): AcceptedUpdate => ({
  ...{ model, cohort: 5, round: 5, gateway, update: "c".repeat(64), weight: 1, norm: 0.5, metrics: { loss: 1 } },
  ...{ bytes: 40, body: new Uint8Array([1, 2, 3]), ...changed },
});

async function all(store: CoordinatorStore, cohort = 5): Promise<AcceptedUpdate[]> {
  const found: AcceptedUpdate[] = [];
  for await (const update of store.updates(model, cohort)) found.push(update);
  return found;
}

/** What every store of a coordinator keeps to. */
export function storeContract(name: string, open: () => Promise<CoordinatorStore>): void {
  describe(`a coordinator's store: ${name}`, () => {
    let store: CoordinatorStore;
    let epoch = 0;
    beforeEach(async () => {
      store = await open();
      epoch = await store.takeEpoch(0);
      return () => store.close();
    });
    const opened = async () => {
      await store.beginModel(epoch, versionOf(5));
      await store.openRound(epoch, roundOf(), 1_000);
    };

    it("takes an update once for each gateway and round", async () => {
      await opened();
      expect(await store.accept(epoch, acceptedOf("gw-1"))).toBe("accepted");
      expect(await store.accept(epoch, acceptedOf("gw-1"))).toBe("duplicate");
      expect(await store.accept(epoch, acceptedOf("gw-1", { update: "d".repeat(64) }))).toBe("other-update");
      expect(await store.accept(epoch, acceptedOf("gw-2"))).toBe("accepted");
      expect(await all(store)).toEqual([acceptedOf("gw-1"), acceptedOf("gw-2")]);
      expect(await store.round(model)).toMatchObject({ state: "collecting", accepted: 2, bytesUp: 80 });
      expect(await store.accepted(model, "gw-1", 5)).toBe("c".repeat(64));
      expect(await store.accepted(model, "gw-3", 5)).toBeNull();
    });

    it("keeps the newest steps between versions, each with the version that it led to", async () => {
      await opened();
      const newest = 5 + keptChanges + 3;
      for (let version = 6; version <= newest; version++) {
        const step = { version, from: `${version - 1}`, to: `${version}`, blob: new Uint8Array([version]) };
        await store.publish(epoch, 5, versionOf(version, { exact: new Uint8Array(16).fill(1), root: "f" }), step);
      }
      const steps = await store.changes(model);
      expect(steps).toHaveLength(keptChanges);
      expect(steps[0]).toEqual({
        version: newest,
        from: `${newest - 1}`,
        to: `${newest}`,
        blob: new Uint8Array([newest]),
      });
      expect(await store.version(model)).toMatchObject({ exact: new Uint8Array(16).fill(1), root: "f" });
      await expect(
        store.publish(epoch - 1, 5, versionOf(99), { version: 99, from: "a", to: "b", blob: new Uint8Array(1) }),
      ).rejects.toMatchObject({ code: "COORDINATOR_FENCED" });
      expect((await store.changes(model))[0]?.version).toBe(newest);
    });

    it("gives updates by gateway, whatever the order in which they came", async () => {
      await opened();
      for (const gateway of ["gw-9", "gw-1", "gw-5", "a"]) await store.accept(epoch, acceptedOf(gateway));
      expect((await all(store)).map(({ gateway }) => gateway)).toEqual(["a", "gw-1", "gw-5", "gw-9"]);
    });

    it("tells updates apart that one gateway trained in two rounds", async () => {
      await opened();
      await store.accept(epoch, acceptedOf("gw-1", { round: 5 }));
      await store.accept(epoch, acceptedOf("gw-1", { round: 3, update: "e".repeat(64) }));
      expect((await all(store)).map(({ round }) => round)).toEqual([3, 5]);
    });

    it("takes nothing any more once a round is settled", async () => {
      await opened();
      await store.accept(epoch, acceptedOf("gw-1"));
      await store.settle(epoch, model, 5);
      expect(await store.accept(epoch, acceptedOf("gw-2"))).toBe("closed");
      expect(await store.accept(epoch, acceptedOf("gw-1"))).toBe("duplicate");
      expect(await all(store)).toHaveLength(1);
    });

    it("publishes a version, ends its round and lets go of its updates; receipts stay", async () => {
      await opened();
      await store.accept(epoch, acceptedOf("gw-1"));
      await store.settle(epoch, model, 5);
      await store.publish(epoch, 5, versionOf(6, { metrics: { loss: 0.25 }, tensors: { mean: [1, 2] } }));
      expect(await store.round(model)).toMatchObject({ state: "published", version: 6, metrics: { loss: 0.25 } });
      expect(await store.version(model)).toEqual(versionOf(6, { metrics: { loss: 0.25 }, tensors: { mean: [1, 2] } }));
      expect(await store.version(model, 5)).toEqual(versionOf(5));
      expect(await all(store)).toEqual([]);
      expect(await store.accept(epoch, acceptedOf("gw-1"))).toBe("duplicate");
    });

    it("keeps the newest versions", async () => {
      await store.beginModel(epoch, versionOf(1));
      for (let version = 2; version <= 20; version++) {
        await store.openRound(epoch, roundOf({ round: version }), 1);
        await store.publish(epoch, version, versionOf(version));
      }
      expect(await store.version(model, 4)).toBeNull();
      expect(await store.version(model, 5)).not.toBeNull();
      expect((await store.history(model, 3)).map(({ round }) => round)).toEqual([20, 19, 18]);
    });

    it("fences off a coordinator that was overtaken", async () => {
      await opened();
      const newer = await store.takeEpoch(0);
      expect(newer).toBeGreaterThan(epoch);
      const refused = { code: "COORDINATOR_FENCED" };
      await expect(store.accept(epoch, acceptedOf("gw-1"))).rejects.toMatchObject(refused);
      await expect(store.settle(epoch, model, 5)).rejects.toMatchObject(refused);
      await expect(store.publish(epoch, 5, versionOf(6))).rejects.toMatchObject(refused);
      await expect(store.nextDocument(epoch, model, 0)).rejects.toMatchObject(refused);
      expect(await store.accept(newer, acceptedOf("gw-1"))).toBe("accepted");
      expect(await store.takeEpoch(100)).toBe(101);
    });

    it("never gives the number of a document twice", async () => {
      expect(await store.nextDocument(epoch, model, 0)).toBe(1);
      expect(await store.nextDocument(epoch, model, 0)).toBe(2);
      expect(await store.nextDocument(epoch, model, 40)).toBe(41);
      expect(await store.nextDocument(epoch, "another", 0)).toBe(1);
    });

    it("keeps members, and those that were removed", async () => {
      await store.enrol("gw-1", key(1), 10);
      await store.enrol("gw-2", key(2), 11);
      expect(await store.remove("gw-1", 12)).toBe(true);
      expect(await store.remove("gw-1", 13)).toBe(false);
      expect(await store.remove("gw-7", 13)).toBe(false);
      expect(await store.members()).toEqual([
        { gateway: "gw-1", key: key(1), since: 10, removedAt: 12 },
        { gateway: "gw-2", key: key(2), since: 11, removedAt: null },
      ]);
      await store.enrol("gw-1", key(3), 14);
      expect((await store.members())[0]).toEqual({ gateway: "gw-1", key: key(3), since: 14, removedAt: null });
    });

    it("takes a token once, in time, and from the gateway that it is for", async () => {
      await store.addToken({ hash: "t1", gateway: null, expiresAt: 100 });
      await store.addToken({ hash: "t2", gateway: "gw-2", expiresAt: 100 });
      expect(await store.useToken("t0", "gw-1", key(1), 50)).toBe("unknown");
      expect(await store.useToken("t1", "gw-1", key(1), 101)).toBe("expired");
      expect(await store.useToken("t1", "gw-1", key(1), 50)).toBe("enrolled");
      expect(await store.useToken("t1", "gw-1", key(1), 60)).toBe("enrolled");
      expect(await store.useToken("t1", "gw-3", key(3), 60)).toBe("used");
      expect(await store.useToken("t2", "gw-3", key(3), 60)).toBe("other-gateway");
      await store.addToken({ hash: "t3", gateway: null, expiresAt: 100 });
      expect(await store.useToken("t3", "gw-1", key(9), 60)).toBe("other-key");
      expect((await store.members()).map(({ gateway }) => gateway)).toEqual(["gw-1"]);
    });

    it("remembers who asks to be taken in, until it is", async () => {
      expect(await store.addRequest({ gateway: "gw-5", key: key(5), at: 1 })).toBe("kept");
      expect(await store.addRequest({ gateway: "gw-5", key: key(6), at: 2 })).toBe("other-key");
      expect(await store.requests()).toEqual([{ gateway: "gw-5", key: key(5), at: 1 }]);
      await store.enrol("gw-5", key(5), 3);
      expect(await store.requests()).toEqual([]);
    });

    it("announces an open round anew without forgetting what came", async () => {
      await opened();
      await store.accept(epoch, acceptedOf("gw-1"));
      await store.openRound(epoch, roundOf({ version: 8, epoch }), 2_000);
      const round = await store.round(model);
      expect(round).toMatchObject({ accepted: 1, openedAt: 1_000, document: { version: 8, epoch } });
    });

    it("remembers how many rounds are to come", async () => {
      expect(await store.remaining(model)).toBe(0);
      await store.setRemaining(epoch, model, -1);
      expect(await store.remaining(model)).toBe(-1);
      expect(await store.remaining("another")).toBe(0);
    });

    it("ends a round without a version when an operator says so", async () => {
      await opened();
      await store.accept(epoch, acceptedOf("gw-1"));
      await store.abandon(epoch, model, 5, 9);
      expect(await store.round(model)).toMatchObject({ state: "stopped", endedAt: 9, version: null });
      expect(await all(store)).toEqual([]);
    });
  });
}
