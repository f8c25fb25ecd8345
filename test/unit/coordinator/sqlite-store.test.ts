import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SqliteCoordinatorStore } from "../../../src/coordinator/sqlite-store.ts";
import { acceptedOf, storeContract, versionOf } from "../../support/coordinator-store-contract.ts";
import { roundOf } from "../../support/rounds.ts";

const dir = mkdtempSync(join(tmpdir(), "tidegate-store-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let files = 0;
const fresh = () => join(dir, `${files++}.db`);

storeContract("SQLite", async () => new SqliteCoordinatorStore(fresh()));

describe("a coordinator's SQLite file", () => {
  it("keeps everything over a restart", async () => {
    const file = fresh();
    const before = new SqliteCoordinatorStore(file);
    const epoch = await before.takeEpoch(0);
    await before.beginModel(epoch, versionOf(5));
    await before.openRound(epoch, roundOf(), 1);
    await before.accept(epoch, acceptedOf("gw-1"));
    await before.close();
    const after = new SqliteCoordinatorStore(file);
    expect(await after.epoch()).toBe(epoch);
    expect(await after.accept(epoch, acceptedOf("gw-1"))).toBe("duplicate");
    expect(await after.round("mote-anomaly")).toMatchObject({ accepted: 1, document: roundOf() });
    await after.close();
  });

  it("takes nothing, whole, when the disk is full, and goes on when it is not", async () => {
    const store = new SqliteCoordinatorStore(fresh());
    const epoch = await store.takeEpoch(0);
    await store.beginModel(epoch, versionOf(5));
    await store.openRound(epoch, roundOf(), 1);
    store.limit(96 * 1024);
    const large = acceptedOf("gw-1", { body: new Uint8Array(200_000) });
    await expect(store.accept(epoch, large)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(await store.accepted("mote-anomaly", "gw-1", 5)).toBeNull();
    expect(await store.round("mote-anomaly")).toMatchObject({ state: "open", accepted: 0, bytesUp: 0 });
    store.limit(2 ** 20);
    expect(await store.accept(epoch, large)).toBe("accepted");
    await store.close();
  });
});
