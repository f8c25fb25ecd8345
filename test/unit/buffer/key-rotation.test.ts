import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { StateFile } from "../../../src/buffer/state-file.ts";
import { EpochFile } from "../../../src/crypto/epoch-file.ts";
import { StorageKeys } from "../../../src/crypto/storage-keys.ts";
import { closeStore, commitOf, frameAt, newFolder, openStore, readAll, root, sequence } from "./store-fixture.ts";

const rotator = fileURLToPath(new URL("./key-rotator.ts", import.meta.url));
const epochOf = (dir: string) => join(dir, "keys", "epoch");

describe("rotating the key-encryption key", () => {
  it("leaves what is stored readable, at once and after a restart", () => {
    const dir = newFolder();
    const store = openStore({ dir });
    store.commit(commitOf([frameAt(0, 10)]));
    store.statePut("name", Buffer.from("value"));
    expect(store.rotateKeys()).toEqual({ rotations: 1 });
    expect(store.rotateKeys()).toEqual({ rotations: 2 });
    store.commit(commitOf([frameAt(10, 10)]));
    expect(readAll(store)).toHaveLength(20);
    closeStore(store);
    const again = openStore({ dir });
    expect(readAll(again).map(([n]) => n)).toEqual(sequence(0, 20));
    expect(Buffer.from(again.stateGet("name") ?? []).toString()).toBe("value");
  });

  it("makes a copy of the databases from before useless with the keys that are here now", () => {
    const dir = newFolder();
    const store = openStore({ dir });
    store.commit(commitOf([frameAt(0, 10)]));
    store.checkpoint();
    const copies = ["state.db", "buffer.db"].map((name) => [join(dir, name), readFileSync(join(dir, name))] as const);
    store.rotateKeys();
    closeStore(store);
    for (const [file, bytes] of copies) writeFileSync(file, bytes);
    expect(() => openStore({ dir })).toThrow(expect.objectContaining({ code: "KEY_WRONG" }));
  });

  it("keeps no earlier key in the files: neither in state.db, its log, nor beside", () => {
    const dir = newFolder();
    const store = openStore({ dir });
    store.commit(commitOf([frameAt(0, 10)]));
    store.rotateKeys();
    const before = readFileSync(epochOf(dir), "utf8");
    const state = new Map<string, Uint8Array>();
    closeStore(store);
    const file = new StateFile(join(dir, "state.db"), "FULL");
    for (const name of ["kek/epoch", "kek/check", ...file.names("stream/")])
      state.set(name, file.get(name) ?? Buffer.of());
    file.close();
    const again = openStore({ dir });
    again.rotateKeys();
    expect(readFileSync(epochOf(dir), "utf8")).not.toBe(before);
    const bytes = Buffer.concat(
      ["state.db", "state.db-wal", "keys/epoch"]
        .filter((name) => existsSync(join(dir, name)))
        .map((name) => readFileSync(join(dir, name))),
    );
    for (const [name, value] of state) {
      expect(value.length).toBeGreaterThan(16);
      expect(bytes.includes(Buffer.from(value)), name).toBe(false);
    }
    expect(statSync(epochOf(dir)).mode & 0o777).toBe(0o600);
  });

  it("holds on either side of the step that a crash came between", () => {
    const dir = newFolder();
    const first = openStore({ dir });
    first.commit(commitOf([frameAt(0, 5)]));
    first.rotateKeys();
    closeStore(first);
    // Staged, and nothing changed yet.
    new EpochFile(dir).stage();
    closeStore(openStore({ dir }));
    expect(existsSync(`${epochOf(dir)}.next`)).toBe(false);
    // The databases moved on, and the file did not.
    const state = new StateFile(join(dir, "state.db"), "FULL");
    class Unplugged extends EpochFile {
      override promote(): void {
        throw new Error("the plug was pulled");
      }
    }
    const keys = new StorageKeys(root, state, new Unplugged(dir));
    expect(() => keys.rotate()).toThrow("the plug was pulled");
    state.close();
    // The plug was pulled again while the old secret was written over.
    copyFileSync(`${epochOf(dir)}.next`, `${epochOf(dir)}.kept`);
    writeFileSync(epochOf(dir), `${Buffer.alloc(32, "x").fill("y", 9).toString("base64")}\n`);
    const store = openStore({ dir });
    expect(readAll(store)).toHaveLength(5);
    expect(readFileSync(epochOf(dir))).toEqual(readFileSync(`${epochOf(dir)}.kept`));
  });

  it("is whole, wherever it was killed", async () => {
    const dir = newFolder();
    for (let kill = 0; kill < 5; kill++) {
      const child = spawn(process.execPath, [rotator, dir], { stdio: ["ignore", "pipe", "inherit"] });
      let said = "";
      child.stdout.on("data", (text: Buffer) => {
        said += text;
      });
      await once(child.stdout, "data");
      setTimeout(() => child.kill("SIGKILL"), 20 + kill * 17);
      await once(child, "close");
      const durable = Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1));
      const store = openStore({ dir });
      expect(readAll(store).length).toBeGreaterThanOrEqual(durable);
      closeStore(store);
    }
  });
});
