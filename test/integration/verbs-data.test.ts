import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ephemeralKeyRing, openKeyRing } from "../../src/crypto/key-ring.ts";
import { type BatchFacts, encodeBatch, newToken } from "../../src/wire/batch.ts";
import { jsonOf, Site, shell, tidegate } from "./verbs-fixture.ts";

const gateway = ephemeralKeyRing();
const lines = ['{"id":"a"}', '{"id":"b"}'];

let site: Site;
let file: string;
let key: string;
beforeEach(async () => {
  site = new Site();
  mkdirSync(site.dataDir);
  const sink = openKeyRing({ dataDir: site.dataDir });
  file = join(site.dir, "batch.bin");
  key = join(site.dataDir, "keys", "box.key");
  const facts: BatchFacts = {
    ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", stream: "env", lane: "rest", kind: "result" },
    ...{ numbers: [7, 9], after: 5, floor: 3, at: 1_700_000_000_000 },
  };
  const texts = lines.map((line) => new Uint8Array(Buffer.from(line)));
  writeFileSync(file, await encodeBatch(facts, texts, sink.box.publicKey, gateway.signer, newToken()));
});
afterEach(() => site.remove());

describe("tidegate data open", () => {
  it("prints the lines of a batch, with the key from a file, a folder or the configuration", async () => {
    const opened = await tidegate("data", "open", file, "--key", key);
    expect(opened).toMatchObject({ code: 0, out: `${lines.join("\n")}\n` });
    expect(opened.err).toContain(gateway.fingerprints.signing);
    expect((await tidegate("data", "open", file, "--dir", site.dataDir)).out).toBe(opened.out);
    expect((await site.run("data", "open", file)).out).toBe(opened.out);
    const piped = await shell(`exec sh "$0" data open - --key "$1" < "$2"`, [key, file]);
    expect(piped.out).toBe(opened.out);
  });

  it("prints head and lines as one object", async () => {
    const ran = await tidegate("data", "open", file, "--key", key, "--json");
    expect(jsonOf(ran)).toMatchObject({
      head: { gateway: "gw-1", stream: "env", n: 7, last: 9, count: 2, signer: gateway.fingerprints.signing },
      lines: [{ id: "a" }, { id: "b" }],
    });
  });

  it("opens a batch only of the signer that is demanded", async () => {
    const words = ["data", "open", file, "--key", key, "--signer"];
    const publicKey = Buffer.from(gateway.signer.publicKey).toString("base64");
    expect(await tidegate(...words, publicKey)).toMatchObject({ code: 0, err: "" });
    expect((await tidegate(...words, gateway.fingerprints.signing)).code).toBe(0);
    const other = await tidegate(...words, ephemeralKeyRing().fingerprints.signing);
    expect(other).toMatchObject({ code: 65, out: "" });
    expect((await tidegate(...words, "nobody")).code).toBe(64);
  });

  it("says what is wrong: another key, a changed byte, no key, a key that others may read", async () => {
    const other = new Site();
    await other.run("keys", "new");
    const sealed = await other.run("data", "open", file, "--json");
    other.remove();
    expect(sealed.code).toBe(65);
    expect(jsonOf<{ error: { code: string } }>(sealed).error.code).toBe("BATCH_SEALED");

    const damaged = join(site.dir, "damaged.bin");
    writeFileSync(damaged, "not a batch");
    expect((await tidegate("data", "open", damaged, "--key", key)).code).toBe(65);
    expect((await tidegate("data", "open", join(site.dir, "none"), "--key", key)).code).toBe(74);
    expect((await tidegate("data", "open", file, "--key", join(site.dir, "none"))).code).toBe(78);
    chmodSync(key, 0o644);
    expect((await tidegate("data", "open", file, "--key", key)).code).toBe(77);
  });
});
