import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { machineGatewayId } from "../../../src/config/gateway-id.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { base, faultsOf, load } from "./written.ts";

const example = `
version: 1
gateway: { id: gw-1, fleet: demo, profile: generic-x64, dataDir: /var/lib/tidegate }
sensors: { url: "mqtt://127.0.0.1:1883" }
cloud:   { url: "mqtts://broker.example.com:8883", maxPayload: 120KiB, dataKey: ${"A".repeat(43)}= }
streams:
  env:
    topic: "motes/{mote}/env"
    exclude: []
    retained: ignore
    qos: 1
    codec: json
    fields: { temperature: temperature, humidity: humidity }
    timestamp: { path: ts, unit: auto }
    clean: { range: { temperature: [-40, 125] }, missing: hold, outliers: none }
    every: 5s
    window: { size: 16, hop: 1, maxGap: 60s }
    normalize: model
    model: mote-anomaly
    alarm: { onAfter: 1, offAfter: 3, silentAfter: 10m }
    publish: { when: all, minInterval: 0s, retain: true }
    uplink: aggregates
    keep: { maxBytes: 200MiB, maxAge: 30d, priority: 5 }
models:  { dir: /usr/share/tidegate/models }
buffer:  { maxBytes: 2GiB, minFree: 10%, commitMaxDelay: 5s, onFull: shed }
training: { schedule: "0 2 * * *", jitter: 1h, maxCelsius: 75 }
dashboard: { listen: "127.0.0.1:8420" }
`;

describe("loading a configuration", () => {
  it("parses units, expands short forms and fills in defaults", () => {
    const { config } = load(example);
    expect(config.buffer).toMatchObject({ maxBytes: 2 ** 31, minFree: { percent: 10 }, commitMaxDelay: 5000 });
    expect(config.cloud).toMatchObject({ maxPayload: 120 * 1024, protocol: "auto", receiveMaximum: 8192 });
    expect(config.streams.env).toMatchObject({
      every: 5000,
      qos: 1,
      window: { size: 16, hop: 1, maxGap: 60_000 },
      timestamp: { path: "ts", unit: "auto" },
      fields: { temperature: { path: "temperature" } },
      clean: { range: { temperature: [-40, 125] }, missingLimit: 60_000, hampel: { window: 7, sigmas: 3 } },
      keep: { maxBytes: 200 * 2 ** 20, maxAge: 30 * 86_400_000, priority: 5 },
      alarm: { onAfter: 1, offAfter: 3, silentAfter: 600_000 },
    });
    expect(load(example.replace("{ path: ts, unit: auto }", "ts")).config).toEqual(config);
  });

  it("takes default, profile, file, environment and flag in this order, and tells which", () => {
    const env = { TIDEGATE_BUFFER__COMMITMAXDELAY: "7s", TIDEGATE_MODELS__THREADS: "3" };
    const { config, origins } = load(`${base}buffer: { maxBytes: 3GiB, commitMaxDelay: 6s }\n`, {
      env,
      flags: { "models.threads": 4, "gateway.dataDir": undefined },
    });
    expect(config.buffer).toMatchObject({ maxBytes: 3 * 2 ** 30, commitMaxDelay: 7000, onFull: "shed" });
    expect(config.models.threads).toBe(4);
    expect(Object.fromEntries(origins)).toMatchObject({
      "buffer.maxBytes": "file",
      "buffer.commitMaxDelay": "environment",
      "models.threads": "flag",
      "training.maxCelsius": "profile",
      "buffer.onFull": "default",
      "gateway.dataDir": "default",
    });
  });

  it("finds the file's own names in the environment whatever their case", () => {
    const text = `${base}streams: { Env: { topic: a, fields: { t: t } } }\n`;
    const env = {
      TIDEGATE_STREAMS__ENV__CLEAN__RANGE__T: "[0, 5]",
      TIDEGATE_STREAMS__ENV__KEEP__MAXAGE: "2d",
      TIDEGATE_LOG: "x",
    };
    const { config, origins } = load(text, { env });
    expect(config.streams.Env).toMatchObject({ clean: { range: { t: [0, 5] } }, keep: { maxAge: 172_800_000 } });
    expect(Object.keys(config.streams)).toEqual(["Env"]);
    expect(origins.get("streams.Env.clean.range.t")).toBe("environment");
  });

  it("reads paths of the file relative to it, and others relative to where the command runs", () => {
    const text = base.replace("profile:", "dataDir: data, profile:");
    expect(load(text).config.gateway.dataDir).toBe("/etc/tidegate/data");
    const { config } = load(text, { flags: { "gateway.dataDir": "data" } });
    expect(config.gateway.dataDir).toBe(join(process.cwd(), "data"));
  });

  it("prefers a credential of the unit for a secret with a plain name", () => {
    const CREDENTIALS_DIRECTORY = mkdtempSync(join(tmpdir(), "credentials-"));
    writeFileSync(join(CREDENTIALS_DIRECTORY, "mqtt-password"), "x");
    const withFile = (name: string) =>
      load(base.replace("127.0.0.1", `127.0.0.1, passwordFile: ${name}`), { env: { CREDENTIALS_DIRECTORY } }).config
        .sensors.passwordFile;
    expect(withFile("mqtt-password")).toBe(join(CREDENTIALS_DIRECTORY, "mqtt-password"));
    expect(withFile("./mqtt-password")).toBe("/etc/tidegate/mqtt-password");
    expect(withFile("other")).toBe("/etc/tidegate/other");
  });

  it("takes a section with nothing under it as not written", () => {
    const { config } = load(`${base}cloud:\nbuffer:\nstreams:\n`);
    expect(config.cloud).toBeUndefined();
    expect(config.buffer.onFull).toBe("shed");
    expect(faultsOf(`${base}streams:\n  env:\n`)).toMatchObject([{ path: "streams.env.topic", line: 4 }]);
  });

  it("lets streams share what an anchor names", () => {
    const { config } = load(`${base}streams:
  a: &common { topic: a, qos: 0 }
  b: { <<: *common, topic: b }
`);
    expect(config.streams.b).toMatchObject({ topic: "b", qos: 0 });
  });

  it("tells that the file is missing by its name", () => {
    expect(() => loadConfig({ file: "/nowhere/tidegate.yaml" })).toThrow(/nowhere\/tidegate\.yaml/);
  });
});

describe("the gateway's id", () => {
  it("is a hash of the machine's, always the same", () => {
    const file = join(mkdtempSync(join(tmpdir(), "machine-")), "machine-id");
    writeFileSync(file, "0123456789abcdef0123456789abcdef\n");
    expect(machineGatewayId(file)).toMatch(/^gw-[0-9a-f]{12}$/);
    expect(machineGatewayId(file)).toBe(machineGatewayId(file));
    expect(machineGatewayId(file)).not.toContain("0123456789ab");
  });

  it("is not made of an image that has no id yet", () => {
    const file = join(mkdtempSync(join(tmpdir(), "machine-")), "machine-id");
    writeFileSync(file, "uninitialized\n");
    expect(machineGatewayId(file)).toBeUndefined();
    expect(machineGatewayId(`${file}.gone`)).toBeUndefined();
  });
});
