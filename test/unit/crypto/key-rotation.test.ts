import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openKeyRing } from "../../../src/crypto/key-ring.ts";
import { formerBoxes, retireBoxes, rotateBox, rotateSigning } from "../../../src/crypto/key-rotation.ts";

let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "tidegate-keys-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

it("keeps the data keys before the one in use, until they are retired; the other keys stay", () => {
  const first = openKeyRing({ dataDir });
  expect(formerBoxes({ dataDir })).toEqual([]);
  const second = rotateBox({ dataDir });
  rotateBox({ dataDir });
  const now = openKeyRing({ dataDir });
  expect(now.fingerprints.signing).toBe(first.fingerprints.signing);
  expect(now.fingerprints.storage).toBe(first.fingerprints.storage);
  const former = formerBoxes({ dataDir }).map(({ publicKey }) => Buffer.from(publicKey).toString("hex"));
  const expected = [first.box.publicKey, second].map((key) => Buffer.from(key).toString("hex"));
  expect(former.toSorted()).toEqual(expected.toSorted());
  expect(former).not.toContain(Buffer.from(now.box.publicKey).toString("hex"));
  for (const name of readdirSync(join(dataDir, "keys")))
    expect(statSync(join(dataDir, "keys", name)).mode & 0o777, name).toBe(0o600);
  expect([retireBoxes({ dataDir }), retireBoxes({ dataDir }), formerBoxes({ dataDir }).length]).toEqual([2, 0, 0]);
  expect(openKeyRing({ dataDir }).fingerprints).toEqual(now.fingerprints);
});

it("refuses a key that is not there to be replaced, and one that others can read", () => {
  const elsewhere = mkdtempSync(join(tmpdir(), "tidegate-credentials-"));
  try {
    expect(() => rotateBox({ dataDir })).toThrow(/key/);
    openKeyRing({ dataDir: elsewhere });
    const credentialsDir = join(elsewhere, "keys");
    openKeyRing({ dataDir, credentialsDir });
    expect(() => rotateBox({ dataDir, credentialsDir })).toThrow(/credential/);
  } finally {
    rmSync(elsewhere, { recursive: true, force: true });
  }
  openKeyRing({ dataDir });
  rotateBox({ dataDir });
  const former = readdirSync(join(dataDir, "keys")).find((name) => name.startsWith("box-"));
  chmodSync(join(dataDir, "keys", former ?? ""), 0o644);
  expect(() => formerBoxes({ dataDir })).toThrow(/others/);
});

it.each([undefined, "correct horse battery"])(
  "replaces the signing key and keeps the name for brokers (passphrase: %s)",
  (passphrase) => {
    const place = { dataDir, passphrase };
    const first = openKeyRing(place);
    const second = rotateSigning(place);
    const now = openKeyRing(place);
    expect(Buffer.from(now.signer.publicKey)).toEqual(Buffer.from(second));
    expect(now.signer.keyId).not.toBe(first.signer.keyId);
    expect([now.fingerprints.storage, now.fingerprints.box]).toEqual([
      first.fingerprints.storage,
      first.fingerprints.box,
    ]);
    rotateSigning(place);
    expect(openKeyRing(place).identity).toBe(first.identity);
    const files = readdirSync(join(dataDir, "keys"));
    expect(files.toSorted()).toEqual(
      passphrase ? ["identity", "sealed.json"] : ["box.key", "identity", "signing.key", "storage.key"],
    );
    writeFileSync(join(dataDir, "keys", "identity"), "gw-1\n");
    expect(() => openKeyRing(place)).toThrow(/damaged|fingerprint/);
  },
);
