import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { formerBoxes } from "../../src/crypto/key-rotation.ts";
import { adoptMachine, machineFacts } from "../../src/crypto/machine.ts";
import { frame } from "../support/frames.ts";
import { jsonOf, Site, shell, tidegate } from "./verbs-fixture.ts";

type Keys = Record<"storage" | "signing" | "box", { fingerprint: string; publicKey: string | null; file: string }>;
type Shown = { dir: string; isNew?: boolean; keys: Keys };

let site: Site;
let passphrase: string;
beforeEach(() => {
  site = new Site();
  passphrase = join(site.dir, "passphrase");
  writeFileSync(passphrase, "correct horse battery\n");
});
afterEach(() => site.remove());

const keyFiles = (dataDir: string) =>
  ["box", "signing", "storage"].map((name) => readFileSync(join(dataDir, "keys", `${name}.key`), "utf8"));

describe("tidegate keys", () => {
  it("makes keys once, for the owner's eyes only, and never prints a secret", async () => {
    const made = await site.run("keys", "new", "--json");
    expect(made.code).toBe(0);
    const first = jsonOf<Shown>(made);
    expect(first.isNew).toBe(true);
    expect(Object.keys(first.keys)).toEqual(["storage", "signing", "box"]);
    expect(first.keys.storage.publicKey).toBeNull();
    expect(Buffer.from(first.keys.box.publicKey ?? "", "base64")).toHaveLength(32);
    for (const { file } of Object.values(first.keys)) expect(statSync(file).mode & 0o777).toBe(0o600);

    const again = await site.run("keys", "new", "--json");
    expect(again.code).toBe(0);
    expect(jsonOf(again)).toEqual({ ...first, isNew: false });
    const shown = await site.run("keys", "show");
    for (const secret of keyFiles(site.dataDir))
      for (const { out, err } of [made, again, shown]) expect(out + err).not.toContain(secret.trim());
  });

  it("shows no keys where there are none, and makes none", async () => {
    const ran = await site.run("keys", "show", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<{ error: { code: string } }>(ran).error.code).toBe("KEYS_ABSENT");
    expect(existsSync(site.dataDir)).toBe(false);
  });

  it("makes no key beside data that another one locks", async () => {
    mkdirSync(site.dataDir);
    writeFileSync(join(site.dataDir, "state.db"), "");
    const ran = await site.run("keys", "new", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<{ error: { code: string } }>(ran).error.code).toBe("KEY_MISSING");
    expect(existsSync(join(site.dataDir, "keys"))).toBe(false);
  });

  it("refuses a key that others may read (77)", async () => {
    await site.run("keys", "new");
    chmodSync(join(site.dataDir, "keys", "box.key"), 0o644);
    const ran = await site.run("keys", "show");
    expect(ran.code).toBe(77);
    expect(ran.err).toContain("0644");
  });

  it("restores from a backup what a lost disk took: the readings open again", async () => {
    mkdirSync(site.dataDir);
    site.store({ frames: [frame("env", 0, 3)], sources: [{ stream: "env", at: 0, sources: [{ mote: "a" }] }] });
    const before = keyFiles(site.dataDir);
    const file = join(site.dir, "backup.json");
    expect((await site.run("keys", "backup", file, "--passphrase-file", passphrase)).code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const secret of before) expect(readFileSync(file, "utf8")).not.toContain(secret.trim());

    const other = new Site();
    const restored = await tidegate(
      ...["keys", "restore", file, "--passphrase-file", passphrase, "--json", "--dir", other.dataDir],
    );
    expect(jsonOf(restored)).toEqual({ dir: other.dataDir, restored: ["storage", "signing", "box"], former: 0 });
    expect(keyFiles(other.dataDir)).toEqual(before);
    for (const name of ["state.db", "buffer.db"])
      writeFileSync(join(other.dataDir, name), readFileSync(join(site.dataDir, name)));
    const exported = await other.run("buffer", "export", "--stream", "env");
    expect(exported.out.trim().split("\n")).toHaveLength(3);
    other.remove();
  });

  it("replaces no other keys, opens with no other passphrase, and overwrites no backup", async () => {
    await site.run("keys", "new");
    const file = join(site.dir, "backup.json");
    await site.run("keys", "backup", file, "--passphrase-file", passphrase);
    const before = readFileSync(file, "utf8");
    expect((await site.run("keys", "backup", file, "--passphrase-file", passphrase)).code).toBe(74);
    expect(readFileSync(file, "utf8")).toBe(before);

    const wrong = join(site.dir, "wrong");
    writeFileSync(wrong, "another one\n");
    expect((await site.run("keys", "restore", file, "--passphrase-file", wrong)).code).toBe(65);

    const other = new Site();
    await other.run("keys", "new");
    const kept = keyFiles(other.dataDir);
    expect((await other.run("keys", "restore", file, "--passphrase-file", passphrase)).code).toBe(78);
    expect(keyFiles(other.dataDir)).toEqual(kept);
    other.remove();
  });

  it("has the box keys before the one in use in its backups", async () => {
    await site.run("keys", "new");
    for (let i = 0; i < 2; i++) expect((await site.run("keys", "rotate")).code).toBe(0);
    const publicKeys = () => formerBoxes({ dataDir: site.dataDir }).map(({ publicKey }) => [...publicKey]);
    const before = publicKeys();
    expect(before).toHaveLength(2);
    const file = join(site.dir, "backup.json");
    await site.run("keys", "backup", file, "--passphrase-file", passphrase);
    rmSync(join(site.dataDir, "keys"), { recursive: true });
    const restored = await site.run("keys", "restore", file, "--passphrase-file", passphrase, "--json");
    expect(jsonOf<{ former: number }>(restored).former).toBe(2);
    expect(publicKeys().toSorted()).toEqual(before.toSorted());
    expect(
      jsonOf<{ former: number }>(await site.run("keys", "restore", file, "--passphrase-file", passphrase, "--json"))
        .former,
    ).toBe(0);
  });

  it("keeps keys under a passphrase, which every verb then needs", async () => {
    const made = await site.run("keys", "new", "--passphrase-file", passphrase, "--json");
    expect(made.code).toBe(0);
    expect(readdirSync(join(site.dataDir, "keys"))).toEqual(["sealed.json"]);
    const locked = await site.run("keys", "show", "--json");
    expect([locked.code, jsonOf<{ error: { code: string } }>(locked).error.code]).toEqual([78, "PASSPHRASE_MISSING"]);
    chmodSync(passphrase, 0o600);
    const env = { TIDEGATE_PASSPHRASE_FILE: passphrase };
    const as = (...words: string[]) => shell('exec sh "$0" "$@"', [...words, "--config", site.file, "--json"], env);
    const first = jsonOf<Shown>(made).keys;
    expect(jsonOf<Shown>(await as("keys", "show")).keys).toEqual(first);
    expect((await as("keys", "rotate")).code).toBe(0);
    const second = jsonOf<Shown>(await as("keys", "show")).keys;
    expect(second.storage).toEqual(first.storage);
    expect(second.box.publicKey).not.toBe(first.box.publicKey);
    expect(readdirSync(join(site.dataDir, "keys"))).toEqual(["sealed.json"]);
    const place = { dataDir: site.dataDir, passphrase: "correct horse battery" };
    expect(formerBoxes(place).map(({ publicKey }) => Buffer.from(publicKey).toString("base64"))).toEqual([
      first.box.publicKey,
    ]);

    writeFileSync(passphrase, "another passphrase\n");
    const wrong = await as("keys", "show");
    expect([wrong.code, jsonOf<{ error: { code: string } }>(wrong).error.code]).toEqual([78, "PASSPHRASE_WRONG"]);
    chmodSync(passphrase, 0o644);
    expect((await as("keys", "show")).code).toBe(77);
  });

  it("refuses to run on a copy in another device, says so in check, and takes one explicit verb to move", async () => {
    await site.run("keys", "new");
    const { storageRoot } = openKeyRing({ dataDir: site.dataDir });
    // Where this machine knows its board, the board is what differs; else its id.
    const facts = machineFacts();
    const other = { ...facts, machineId: "0123456789abcdef0123456789abcdef" };
    const elsewhere = { ...other, ...(facts.serial ? { serial: "x" } : {}), ...(facts.board ? { board: "x" } : {}) };
    adoptMachine({ dataDir: site.dataDir, storageRoot }, elsewhere);
    const ran = await site.run("run");
    expect(ran.code).toBe(78);
    expect(ran.err).toContain("belong to another device");
    expect(ran.err).toContain("keys adopt");
    const checked = jsonOf<{ checks: { name: string; level: string; detail: string }[] }>(
      await site.run("check", "--json"),
    );
    expect(checked.checks.find(({ name }) => name === "keys")).toMatchObject({ level: "fail" });
    expect((await site.run("keys", "adopt")).code).toBe(0);
    const again = jsonOf<typeof checked>(await site.run("check", "--json"));
    expect(again.checks.find(({ name }) => name === "keys")).toMatchObject({ level: "warn" });
  });

  it("makes one token, prints it again, and another one when asked to", async () => {
    await site.run("keys", "new");
    const token = async (...words: string[]) => (await site.run("keys", "token", ...words)).out.trim();
    const first = await token();
    expect(first).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(statSync(join(site.dataDir, "keys", "http.token")).mode & 0o777).toBe(0o600);
    expect(await token()).toBe(first);
    const second = await token("--new");
    expect(second).not.toBe(first);
    expect(await token()).toBe(second);
  });

  it("asks for a passphrase of some length, and says how to give one without a terminal", async () => {
    await site.run("keys", "new");
    const file = join(site.dir, "backup.json");
    writeFileSync(passphrase, "short\n");
    expect((await site.run("keys", "backup", file, "--passphrase-file", passphrase)).code).toBe(64);
    const ran = await site.run("keys", "backup", file);
    expect(ran.code).toBe(64);
    expect(ran.err).toContain("--passphrase-file");
    expect(existsSync(file)).toBe(false);
  });
});
