import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { describeReal, freePort, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-diag-"));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(dir, { recursive: true, force: true });
});

const password = "Gezeiten-Tor-77";
const tlsKey = "MHcCAQEEIOlNw0b8Qm3n5Z2t9Y7cW1x4K6s8R0pLq";

/** Everything that lies in the keys' folder, and what the links need, in each form in which it could be told. */
function secrets(dataDir: string): [string, string][] {
  const files = readdirSync(join(dataDir, "keys")).filter((name) => /\.(key|token)$/.test(name));
  const kept = files.flatMap((name): [string, string][] => {
    const text = readFileSync(join(dataDir, "keys", name), "utf8").trim();
    if (name.endsWith(".token")) return [[name, text]];
    const key = Buffer.from(text, "base64");
    return [text, key.toString("hex"), key.toString("base64url")].map((form) => [name, form]);
  });
  return [...kept, ["password", password], ["key of the certificate", tlsKey]];
}

describeReal("tidegate diag collect", () => {
  it("gathers what helps, and no secret, not even one that came into the configuration or the log", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    writeFileSync(join(dir, "password"), `${password}\n`, { mode: 0o600 });
    writeFileSync(join(dir, "client.key"), `-----BEGIN EC PRIVATE KEY-----\n${tlsKey}\n-----END EC PRIVATE KEY-----\n`);
    const daemon = new Daemon({
      gateway: { logLevel: "trace" },
      // Somebody has put the password where it does not belong: it is the broker's address, and the client's name.
      sensors: { url: broker.url, username: "gw", passwordFile: join(dir, "password"), clientId: `gw-${password}` },
      cloud: { url: `mqtt://${password}.invalid:1`, tls: { key: join(dir, "client.key") } },
      streams: { env: moteStream },
      dashboard: { enabled: true, listen: `127.0.0.1:${await freePort()}` },
    });
    stops.push(() => daemon.remove());
    await daemon.start();
    const file = join(dir, "bundle.json");
    const words = ["diag", "collect", file, "--config", join(daemon.dir, "tidegate.yaml"), "--json"];
    const ran = await tidegate(words);
    expect(ran.code).toBe(0);
    const text = readFileSync(file, "utf8");
    expect(ran.json()).toEqual({ file, bytes: Buffer.byteLength(text) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(Buffer.byteLength(text)).toBeLessThan(4 * 2 ** 20);

    const bundle = JSON.parse(text);
    expect(bundle).toMatchObject({ format: "tidegate-diag/1", versions: { node: process.version } });
    expect(bundle.configuration["sensors.clientId"].value).toBe("gw-[hidden]");
    expect(bundle.configuration["dashboard.enabled"].value).toBe(true);
    expect(bundle.status.streams.env.topic).toBe(moteStream.topic);
    expect(bundle.metrics).toContain("tidegate_build_info");
    expect(bundle.log.some((line: string) => line.includes('"starting"'))).toBe(true);
    expect(bundle.checks.map(({ name }: { name: string }) => name)).toContain("keys");

    const known = secrets(daemon.dataDir);
    expect(new Set(known.map(([name]) => name))).toEqual(
      new Set(["storage.key", "signing.key", "box.key", "http.token", "password", "key of the certificate"]),
    );
    expect(known.filter(([, secret]) => text.includes(secret)).map(([name]) => name)).toEqual([]);
    // The daemon's own log knows nothing of them either, but what somebody wrote into an address.
    const inLog = known.filter(([name, secret]) => name !== "password" && daemon.text.includes(secret));
    expect(inLog.map(([name]) => name)).toEqual([]);

    expect((await tidegate(words)).code).toBe(74);
  });

  it("tells why the daemon's part is missing when none runs", async () => {
    const daemon = new Daemon({ sensors: { url: "mqtt://127.0.0.1:1" } });
    stops.push(() => daemon.remove());
    const file = join(dir, "bundle.json");
    const { code } = await tidegate(["diag", "collect", file, "--config", join(daemon.dir, "tidegate.yaml")]);
    expect(code).toBe(0);
    const bundle = JSON.parse(readFileSync(file, "utf8"));
    expect(bundle.status.absent).toContain("no daemon answers");
    expect(bundle.log).toEqual([]);
  });
});
