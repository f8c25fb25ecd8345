import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { Enrolments } from "../../../src/coordinator/enrolments.ts";
import { SqliteCoordinatorStore } from "../../../src/coordinator/sqlite-store.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { openEnrolmentAnswer, signEnrolment, signEnrolmentAnswer } from "../../../src/federated/enrolment.ts";

const dir = mkdtempSync(join(tmpdir(), "tidegate-enrolments-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const hour = 3_600_000;
let files = 0;
let file = "";
let enrolments: Enrolments;
let store: SqliteCoordinatorStore;
beforeEach(async () => {
  file = join(dir, `${files++}.db`);
  store = new SqliteCoordinatorStore(file);
  enrolments = new Enrolments(store, "demo", silentLog);
  await enrolments.load();
  return () => store.close();
});
const gateway = ephemeralKeyRing();
const other = ephemeralKeyRing();
const ask = async (name: string, keys: typeof gateway, token?: string, at = 1_000) =>
  (await enrolments.request(Buffer.from(signEnrolment("demo", name, keys.signer, token)), name, at))?.answer;

describe("joining a fleet", () => {
  it("by a token works once, and the same request again gives the same answer", async () => {
    const token = await enrolments.newToken(null, hour);
    expect(await ask("gw-1", gateway, token)).toEqual({ status: "enrolled" });
    expect(enrolments.standing("gw-1", gateway.signer.publicKey)).toBe("member");
    expect(await ask("gw-1", gateway, token)).toEqual({ status: "enrolled" });
    expect(await ask("gw-2", other, token)).toEqual({ status: "refused", reason: "used" });
    expect(enrolments.standing("gw-2", other.signer.publicKey)).toBe("stranger");
  });

  it("by a token that has expired, that is for another, or that nobody gave, does not", async () => {
    const [late, named] = [await enrolments.newToken(null, hour), await enrolments.newToken("gw-7", hour)];
    expect(await ask("gw-1", gateway, late, 2 * hour)).toEqual({ status: "refused", reason: "expired" });
    expect(await ask("gw-1", gateway, named)).toEqual({ status: "refused", reason: "other-gateway" });
    expect(await ask("gw-1", gateway, "guessed")).toEqual({ status: "refused", reason: "unknown" });
  });

  it("under a name that another has does not", async () => {
    await enrolments.enrol("gw-1", gateway.signer.publicKey, 1);
    const token = await enrolments.newToken(null, hour);
    expect(await ask("gw-1", other, token)).toEqual({ status: "refused", reason: "other-key" });
    expect(enrolments.standing("gw-1", gateway.signer.publicKey)).toBe("member");
  });

  it("without a token waits for an operator", async () => {
    expect(await ask("gw-1", gateway)).toEqual({ status: "waiting" });
    await expect(enrolments.enrol("gw-2", undefined, 2)).rejects.toMatchObject({ code: "ENROLMENT_REFUSED" });
    await enrolments.enrol("gw-1", undefined, 2);
    expect(await ask("gw-1", gateway)).toEqual({ status: "enrolled" });
  });

  it("takes in whom the operator has looked at, whoever asks under the same name meanwhile", async () => {
    expect(await ask("gw-1", gateway)).toEqual({ status: "waiting" });
    expect(await ask("gw-1", other)).toEqual({ status: "refused", reason: "other-key" });
    expect(await ask("gw-1", gateway)).toEqual({ status: "waiting" });
    await enrolments.enrol("gw-1", undefined, 2);
    expect(enrolments.standing("gw-1", gateway.signer.publicKey)).toBe("member");
    // Somebody who came first under a name and is not wanted is sent away.
    expect(await ask("gw-2", gateway)).toEqual({ status: "waiting" });
    await enrolments.remove("gw-2", 3);
    expect(await ask("gw-2", other)).toEqual({ status: "waiting" });
  });

  it("is over at once when a gateway is removed, until it is taken in again", async () => {
    await enrolments.enrol("gw-1", gateway.signer.publicKey, 1);
    await enrolments.remove("gw-1", 2);
    expect(enrolments.standing("gw-1", gateway.signer.publicKey)).toBe("removed");
    expect([enrolments.count, enrolments.has("gw-1")]).toEqual([0, false]);
    await enrolments.enrol("gw-1", gateway.signer.publicKey, 3);
    expect(enrolments.standing("gw-1", gateway.signer.publicKey)).toBe("member");
  });

  it("cannot be asked for by another's request, or in another's name", async () => {
    const text = Buffer.from(signEnrolment("demo", "gw-1", gateway.signer));
    expect(await enrolments.request(text, "gw-2", 1)).toBeNull();
    const elsewhere = Buffer.from(signEnrolment("another", "gw-1", gateway.signer));
    expect(await enrolments.request(elsewhere, "gw-1", 1)).toBeNull();
    for (const rubbish of ["", "{}", "null", '{"payload":"AA"}'])
      expect(await enrolments.request(Buffer.from(rubbish), "gw-1", 1)).toBeNull();
  });

  it("never writes a token down", async () => {
    const token = await enrolments.newToken(null, hour);
    const bytes = Buffer.concat([readFileSync(file), readFileSync(`${file}-wal`)]);
    expect(bytes.includes(token)).toBe(false);
  });

  it("is answered for the key that asked alone", async () => {
    const coordinator = ephemeralKeyRing();
    const claim = { gateway: "gw-1", key: gateway.signer.publicKey, proof: null };
    const text = Buffer.from(signEnrolmentAnswer("demo", claim, { status: "enrolled" }, coordinator.signer));
    const about = { fleet: "demo", gateway: "gw-1", trusted: [coordinator.signer.publicKey] };
    expect(openEnrolmentAnswer(text, { ...about, key: gateway.signer.publicKey })).toEqual({ status: "enrolled" });
    expect(() => openEnrolmentAnswer(text, { ...about, key: other.signer.publicKey })).toThrow();
  });
});
