import { describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { type Fault, loadConfig } from "../../../src/config/load.ts";
import { detectProfile, profileNames, readProfile } from "../../../src/config/profile.ts";

const base = "version: 1\ngateway: { id: gw-1, profile: generic-x64 }\nsensors: { url: mqtt://127.0.0.1 }\n";
const load = (text: string, rest: object = {}) => loadConfig({ text, baseDir: "/etc/tidegate", ...rest });

function faultsOf(text: string, rest: object = {}): readonly Fault[] {
  try {
    load(text, rest);
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "CONFIG_INVALID") return thrown.facts.faults as Fault[];
    throw thrown;
  }
  return [];
}

describe("configuration", () => {
  it("loads the example of the README with units parsed and defaults filled in", () => {
    const { config } = load(`${base}streams:
  env:
    topic: "motes/{mote}/env"
    fields: { temperature: temperature, state: { path: "a.b[0]", map: { ON: 1, OFF: 0 } } }
    timestamp: ts
    clean: { range: { temperature: [-40, 125] }, missing: hold }
    every: 5s
    window: { size: 16, maxGap: 60s }
    qos: 0
    model: mote-anomaly
    keep: { maxBytes: 200MiB, maxAge: 30d }
buffer: { minFree: 10% }
`);
    const env = config.streams.env;
    expect(env).toMatchObject({
      every: 5000,
      qos: 0,
      window: { size: 16, hop: 1, maxGap: 60_000 },
      timestamp: { path: "ts", unit: "auto" },
      keep: { maxBytes: 200 * 2 ** 20, maxAge: 30 * 86_400_000, priority: 5 },
      alarm: { onAfter: 1, offAfter: 3, silentAfter: 600_000 },
    });
    expect(config.buffer.minFree).toEqual({ percent: 10 });
  });

  it("lists all faults at once, each with its line and the nearest key", () => {
    const faults = faultsOf(`${base}streams:
  env:
    topci: "a/b"
    qos: 2
    window: { size: many }
bufer: {}
`);
    const found = faults.map(({ path, line, nearest }) => ({ path, line, nearest }));
    expect(found).toContainEqual({ path: "bufer", line: 9, nearest: "buffer" });
    expect(found).toContainEqual({ path: "streams.env.topci", line: 6, nearest: "topic" });
    expect(found).toContainEqual({ path: "streams.env.qos", line: 7, nearest: undefined });
    expect(found).toContainEqual({ path: "streams.env.window.size", line: 8, nearest: undefined });
    expect(faults.find(({ path }) => path === "streams.env.topic")).toBeDefined();
  });

  it("takes default, profile, file, environment and flag in this order, and tells which", () => {
    const text = `${base}buffer: { maxBytes: 3GiB }\n`;
    const env = { TIDEGATE_BUFFER__COMMITMAXDELAY: "7s", TIDEGATE_MODELS__THREADS: "3" };
    const { config, origins } = load(text, { env, flags: { "models.threads": 4 } });
    expect(config.buffer).toMatchObject({ maxBytes: 3 * 2 ** 30, commitMaxDelay: 7000, onFull: "shed" });
    expect(config.models.threads).toBe(4);
    expect(origins.get("buffer.maxBytes")).toBe("file");
    expect(origins.get("buffer.commitMaxDelay")).toBe("environment");
    expect(origins.get("models.threads")).toBe("flag");
    expect(origins.get("training.maxCelsius")).toBe("profile");
    expect(origins.get("buffer.onFull")).toBeUndefined();
  });

  it("refuses an environment variable that names no key", () => {
    expect(faultsOf(base, { env: { TIDEGATE_BUFFER__SIZE: "1" } })).toEqual([
      { path: "TIDEGATE_BUFFER__SIZE", message: "this environment variable names no key" },
    ]);
  });

  it("reads paths relative to the file", () => {
    const { config } = load(base.replace("profile:", "dataDir: data, profile:"));
    expect(config.gateway.dataDir).toBe("/etc/tidegate/data");
  });

  it("refuses a password in a URL", () => {
    expect(faultsOf(base.replace("mqtt://", "mqtt://me:secret@"))[0]?.message).toMatch(/passwordFile/);
  });

  it("tells where YAML itself is broken", () => {
    expect(faultsOf("version: 1\nsensors: { url: [\n")[0]?.line).toBeGreaterThan(1);
  });
});

describe("profiles", () => {
  it("are all readable", () => {
    expect(profileNames().map((name) => readProfile(name).name)).toHaveLength(7);
  });

  it("are found by the board's name and memory", () => {
    const gib = 2 ** 30;
    expect(detectProfile("Raspberry Pi 4 Model B Rev 1.4", "arm64", 4 * gib)).toBe("raspberry-pi-4");
    expect(detectProfile("Raspberry Pi Zero 2 W Rev 1.0", "arm64", gib / 2)).toBe("raspberry-pi-zero-2w");
    expect(detectProfile("NVIDIA Jetson Orin Nano Developer Kit", "arm64", 8 * gib)).toBe("jetson-orin-nano");
    expect(detectProfile("", "x64", 8 * gib)).toBe("generic-x64");
    expect(detectProfile("Some board", "arm64", gib)).toBe("generic-arm64");
  });

  it("refuse a 32-bit system", () => {
    expect(() => detectProfile("Raspberry Pi 2", "arm", 2 ** 30)).toThrow(/64-bit/);
  });
});
