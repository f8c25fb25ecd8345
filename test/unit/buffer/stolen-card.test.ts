import { cpSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkAudit } from "../../../src/buffer/audit-rows.ts";
import type { Store } from "../../../src/buffer/store.ts";
import { openKeyRing } from "../../../src/crypto/key-ring.ts";
import { closeStore, commitOf, frameAt, newFolder, openStore, readAll } from "./store-fixture.ts";

/** A data directory with readings, and a copy of it as a thief has the card. */
function stolen(options: { credentialsDir?: string; passphrase?: string } = {}) {
  const dir = newFolder();
  const { storageRoot } = openKeyRing({ dataDir: dir, ...options });
  const store = openStore({ dir, storageRoot });
  store.commit(commitOf([frameAt(0, 20)]));
  closeStore(store);
  const copy = newFolder();
  cpSync(dir, copy, { recursive: true });
  return copy;
}

describe("who has the card", () => {
  it("reads everything where the keys lie on it, too", () => {
    const dir = stolen();
    expect(readAll(openStore({ dir, storageRoot: openKeyRing({ dataDir: dir }).storageRoot }))).toHaveLength(20);
  });

  it("gets no key where they are the unit's credentials, or under a passphrase", () => {
    const elsewhere = newFolder();
    openKeyRing({ dataDir: elsewhere });
    const credentialsDir = join(newFolder(), "credentials");
    mkdirSync(credentialsDir);
    for (const name of ["storage", "signing", "box"])
      renameSync(join(elsewhere, "keys", `${name}.key`), join(credentialsDir, `${name}.key`));
    const [unit, sealed] = [stolen({ credentialsDir }), stolen({ passphrase: "correct horse battery" })];
    const code = (what: string) => expect.objectContaining({ code: what });
    expect(() => openKeyRing({ dataDir: unit })).toThrow(code("KEY_MISSING"));
    expect(() => openKeyRing({ dataDir: sealed })).toThrow(code("PASSPHRASE_MISSING"));
    expect(() => openKeyRing({ dataDir: sealed, passphrase: "correct horse" })).toThrow(code("PASSPHRASE_WRONG"));
    // With keys of one's own the data stay shut.
    expect(() => openStore({ dir: unit, storageRoot: new Uint8Array(32).fill(9) })).toThrow(code("KEY_WRONG"));
  });

  it("can put back all of yesterday, keys with it: nothing here sees it but the head that was told outside", async () => {
    const dir = newFolder();
    const { storageRoot } = openKeyRing({ dataDir: dir });
    const audit = (store: Store) => checkAudit(async (from) => store.auditCheck(from));
    const first = openStore({ dir, storageRoot });
    first.rotateKeys();
    first.auditAppend(Buffer.from("yesterday"));
    closeStore(first);
    const yesterday = newFolder();
    cpSync(dir, yesterday, { recursive: true });
    const second = openStore({ dir, storageRoot });
    const told = second.auditAppend(Buffer.from("today"));
    closeStore(second);

    const restored = openStore({ dir: yesterday, storageRoot });
    const { fault, head } = await audit(restored);
    expect(fault).toBeNull();
    expect(head.n).toBe(told.n - 1);
    expect(restored.auditRead(10).map(({ hash }) => hash)).not.toContain(told.hash);
  });
});
