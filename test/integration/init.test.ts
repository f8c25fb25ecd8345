import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { detectProfile } from "../../src/config/profile.ts";
import { tidegate } from "../support/command-line.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-init-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const keyFiles = () => readdirSync(join(dir, "data/keys")).sort();

describe("tidegate init", () => {
  it("writes a configuration that loads, with the profile of this device, and makes keys for one user alone", async () => {
    const { code, out } = await tidegate(["init", "--broker", "mqtt://192.0.2.7:1884"], { cwd: dir });
    expect(code).toBe(0);
    const { config, origins } = loadConfig({ file: join(dir, "tidegate.yaml") });
    expect(config.sensors.url).toBe("mqtt://192.0.2.7:1884");
    expect(config.gateway.profile).toBe(detectProfile());
    expect(origins.get("gateway.profile")).toBe("file");
    expect(config.gateway.dataDir).toBe(join(dir, "data"));
    expect(keyFiles()).toEqual(["box.key", "signing.key", "storage.key"]);
    expect(statSync(join(dir, "data/keys/storage.key")).mode & 0o077).toBe(0);
    expect(out).toContain(join(dir, "tidegate.yaml"));
    expect(out).toContain(`tidegate check --config ${join(dir, "tidegate.yaml")}`);
  });

  it("leaves a configuration and keys alone that are there already", async () => {
    writeFileSync(join(dir, "tidegate.yaml"), "mine");
    const refused = await tidegate(["init", "--dir", dir, "--json"]);
    expect(refused.code).toBe(78);
    expect(refused.json()).toMatchObject({ error: { code: "CONFIG_PRESENT", file: join(dir, "tidegate.yaml") } });
    expect(readFileSync(join(dir, "tidegate.yaml"), "utf8")).toBe("mine");
    expect(readdirSync(dir)).toEqual(["tidegate.yaml"]);
  });

  it("takes up the keys of an earlier life", async () => {
    await tidegate(["init", "--dir", dir]);
    const before = readFileSync(join(dir, "data/keys/storage.key"), "utf8");
    rmSync(join(dir, "tidegate.yaml"));
    const { code, json } = await tidegate(["init", "--dir", dir, "--json"]);
    expect(code).toBe(0);
    expect(json()).toMatchObject({ keys: { made: false } });
    expect(readFileSync(join(dir, "data/keys/storage.key"), "utf8")).toBe(before);
  });

  it("makes no keys beside data that were written with others, and writes nothing then", async () => {
    mkdirSync(join(dir, "data"));
    writeFileSync(join(dir, "data/buffer.db"), "something");
    const { code, err } = await tidegate(["init", "--dir", dir]);
    expect(code).toBe(78);
    expect(err).toContain("storage.key is missing");
    expect(readdirSync(dir)).toEqual(["data"]);
  });

  it("refuses what is no broker as a fault of the command line", async () => {
    const { code, err } = await tidegate(["init", "--dir", dir, "--broker", "http://192.0.2.7"]);
    expect(code).toBe(64);
    expect(err).toContain("--broker");
    expect(readdirSync(dir)).toEqual([]);
  });
});
