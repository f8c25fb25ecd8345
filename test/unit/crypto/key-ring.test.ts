import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openBackup, restoreKeys, sealBackup } from "../../../src/crypto/key-backup.ts";
import { openKeyRing, readSecrets } from "../../../src/crypto/key-ring.ts";
import { openFrom, sealTo } from "../../../src/crypto/sealing.ts";
import { isSignedBy } from "../../../src/crypto/signing.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "tidegate-keys-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const text = Buffer.from("some bytes");
const file = (name: string) => join(dataDir, "keys", name);

describe("the key ring", () => {
  it("makes its keys on an empty data directory, for its own user alone, and reads the same ones again", () => {
    const made = openKeyRing({ dataDir });
    const again = openKeyRing({ dataDir });
    expect([made.isNew, again.isNew]).toEqual([true, false]);
    expect(again.fingerprints).toEqual(made.fingerprints);
    expect(again.storageRoot).toEqual(made.storageRoot);
    expect(isSignedBy(made.signer.publicKey, text, again.signer.sign(text))).toBe(true);
    expect(openFrom(sealTo(text, made.box.publicKey), again.box.secretKey)).toEqual(new Uint8Array(text));
    expect(statSync(join(dataDir, "keys")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(dataDir, "keys")).map((name) => [name, statSync(file(name)).mode & 0o777])).toEqual([
      ["box.key", 0o600],
      ["signing.key", 0o600],
      ["storage.key", 0o600],
    ]);
  });

  it("makes another key each time", () => {
    const other = mkdtempSync(join(tmpdir(), "tidegate-keys-"));
    const [a, b] = [openKeyRing({ dataDir }).fingerprints, openKeyRing({ dataDir: other }).fingerprints];
    rmSync(other, { recursive: true });
    expect(new Set([...Object.values(a), ...Object.values(b)]).size).toBe(6);
  });

  it("works where the data directory is not there yet", () => {
    expect(openKeyRing({ dataDir: join(dataDir, "new", "gateway") }).isNew).toBe(true);
  });

  it("is not held up by a configuration or models in the data directory", () => {
    mkdirSync(join(dataDir, "models"));
    writeFileSync(join(dataDir, "tidegate.yaml"), "version: 1\n");
    writeFileSync(join(dataDir, "trusted.json"), "{}");
    expect(openKeyRing({ dataDir }).isNew).toBe(true);
  });

  it.each(["storage", "signing", "box"])("refuses data without the %s key, and makes none", (name) => {
    openKeyRing({ dataDir });
    writeFileSync(join(dataDir, "buffer.db"), "");
    rmSync(file(`${name}.key`));
    expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_MISSING", exit: 78 }));
    expect(readdirSync(join(dataDir, "keys"))).not.toContain(`${name}.key`);
  });

  it("takes a database set aside for data", () => {
    writeFileSync(join(dataDir, "buffer.db.broken"), "");
    expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_MISSING" }));
  });

  it.each([0o644, 0o640, 0o660, 0o604])("refuses a key with mode %o", (mode) => {
    openKeyRing({ dataDir });
    chmodSync(file("storage.key"), mode);
    expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_UNREADABLE", exit: 77 }));
  });

  it("refuses a directory of keys in which others may write", () => {
    openKeyRing({ dataDir });
    chmodSync(join(dataDir, "keys"), 0o770);
    expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_UNREADABLE" }));
  });

  it.runIf(process.geteuid?.() === 0)("refuses a key of another user", () => {
    openKeyRing({ dataDir });
    chownSync(file("signing.key"), 12345, 0);
    expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_UNREADABLE", exit: 77 }));
  });

  it.each(["", "AAAA", `${Buffer.alloc(32).toString("base64")}\n`, "x".repeat(44), "y".repeat(5000)])(
    "refuses a damaged key: %j",
    (content) => {
      openKeyRing({ dataDir });
      writeFileSync(file("storage.key"), content);
      expect(() => openKeyRing({ dataDir })).toThrow(expect.objectContaining({ code: "KEY_DAMAGED", exit: 78 }));
    },
  );

  it("takes credentials before its own files, and makes only what they lack", () => {
    const credentialsDir = mkdtempSync(join(tmpdir(), "tidegate-credentials-"));
    const key = Buffer.alloc(32, "a secret");
    writeFileSync(join(credentialsDir, "storage.key"), key.toString("base64"), { mode: 0o400 });
    const ring = openKeyRing({ dataDir, credentialsDir });
    expect(Buffer.from(ring.storageRoot)).toEqual(key);
    expect(ring.files.storage).toBe(join(credentialsDir, "storage.key"));
    expect(readdirSync(join(dataDir, "keys"))).toEqual(["box.key", "signing.key"]);
    chmodSync(join(credentialsDir, "storage.key"), 0o444);
    expect(() => openKeyRing({ dataDir, credentialsDir })).toThrow(expect.objectContaining({ code: "KEY_UNREADABLE" }));
    rmSync(credentialsDir, { recursive: true });
  });

  it("leaves no secret in what it says of a fault", () => {
    const secret = Buffer.alloc(31, "s3cr3t").toString("base64");
    openKeyRing({ dataDir });
    writeFileSync(file("storage.key"), secret);
    try {
      openKeyRing({ dataDir });
      expect.unreachable();
    } catch (thrown) {
      expect(JSON.stringify(thrown)).not.toContain(secret);
    }
  });
});

describe("a backup of the keys", () => {
  const passphrase = "correct horse battery";

  it("brings the keys back on another machine", () => {
    const ring = openKeyRing({ dataDir });
    const backup = sealBackup({ dataDir }, passphrase);
    for (const name of ["storage", "signing", "box"]) {
      expect(backup).not.toContain(readFileSync(file(`${name}.key`), "utf8").trim());
    }
    rmSync(join(dataDir, "keys"), { recursive: true });
    writeFileSync(join(dataDir, "buffer.db"), "");
    expect(restoreKeys(dataDir, openBackup(backup, passphrase)).restored).toEqual(["storage", "signing", "box"]);
    expect(openKeyRing({ dataDir }).fingerprints).toEqual(ring.fingerprints);
  });

  it("puts back what is missing and replaces nothing", () => {
    openKeyRing({ dataDir });
    const secrets = { ...readSecrets({ dataDir }), formerBoxes: [] };
    rmSync(file("box.key"));
    expect(restoreKeys(dataDir, secrets).restored).toEqual(["box"]);
    expect(restoreKeys(dataDir, secrets).restored).toEqual([]);
    const other = { ...secrets, signing: new Uint8Array(32).fill(7, 0, 5) };
    expect(() => restoreKeys(dataDir, other)).toThrow(expect.objectContaining({ code: "KEY_PRESENT" }));
    expect({ ...readSecrets({ dataDir }), formerBoxes: [] }).toEqual(secrets);
  });

  it("opens with its passphrase alone, however it is typed", () => {
    openKeyRing({ dataDir });
    const secrets = readSecrets({ dataDir });
    const backup = sealBackup({ dataDir }, "Gezeiten-schl\u00fcssel");
    expect(openBackup(backup, "Gezeiten-schlu\u0308ssel")).toEqual({ ...secrets, formerBoxes: [] });
    expect(() => openBackup(backup, "Gezeiten-schlussel")).toThrow(
      expect.objectContaining({ code: "BACKUP_UNREADABLE" }),
    );
  });

  it("refuses what is no backup, was changed, or asks for too much work", () => {
    openKeyRing({ dataDir });
    const backup = sealBackup({ dataDir }, passphrase);
    const json = JSON.parse(backup) as { sealed: string; scrypt: object };
    const changed = `${json.sealed[0] === "A" ? "B" : "A"}${json.sealed.slice(1)}`;
    const bad = [
      "",
      "null",
      "{}",
      backup.slice(0, 200),
      JSON.stringify({ ...json, sealed: changed }),
      JSON.stringify({ ...json, scrypt: { ...json.scrypt, N: 2 ** 30 } }),
      JSON.stringify({ ...json, scrypt: { ...json.scrypt, N: 1000 } }),
      JSON.stringify({ ...json, scrypt: { ...json.scrypt, p: 1e6 } }),
    ];
    for (const text of bad) {
      expect(() => openBackup(text, passphrase)).toThrow(expect.objectContaining({ code: "BACKUP_UNREADABLE" }));
    }
  });

  it("refuses a short passphrase", () => {
    openKeyRing({ dataDir });
    expect(() => sealBackup({ dataDir }, "short")).toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});
