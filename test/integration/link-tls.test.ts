import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { type Log, silentLog } from "../../src/base/log.ts";
import { certificateTrouble } from "../../src/gateway/certificate-watch.ts";
import { type Certificates, hasOpenssl, makeCertificates } from "../support/certificates.ts";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { openLink } from "../support/links.ts";
import { describeReal, freePort, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function open(...words: Parameters<typeof openLink>) {
  const opened = openLink(...words);
  stops.push(() => opened.link.stop(500));
  return opened.link;
}

describeReal("TLS to a broker", () => {
  let made: Certificates;
  let url = "";
  let stop = async () => {};
  beforeAll(async () => {
    if (!hasOpenssl()) return;
    made = makeCertificates();
    const port = await freePort();
    const at = (name: string) => join(made.dir, name);
    const files = [`cafile ${at("ca.pem")}`, `certfile ${at("localhost.pem")}`, `keyfile ${at("localhost.key")}`];
    const broker = await startMosquitto({ conf: [`listener ${port} 127.0.0.1`, "allow_anonymous true", ...files] });
    url = `mqtts://localhost:${port}`;
    stop = () => broker.stop();
  });
  afterAll(async () => {
    await stop();
    if (made) rmSync(made.dir, { recursive: true, force: true });
  });

  it("verifies whatever the environment says; only the setting with the loud name turns it off, and warns", async ({
    skip,
  }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    stops.push(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    });
    await expect(open(url, { clientId: "a" }).online(10_000)).rejects.toMatchObject({ code: "BROKER_UNTRUSTED" });

    const said: string[] = [];
    const log: Log = { ...silentLog, warn: (_facts: object | string, event?: string) => void said.push(event ?? "") };
    const credentials = { tls: { insecureSkipVerify: true } };
    const unverified = open(url, { clientId: "b", credentials, log });
    await unverified.online(10_000);
    expect(unverified.state.isUnverified).toBe(true);
    expect(said).toEqual([expect.stringContaining("tls.insecureSkipVerify is set")]);
    const verified = open(url, { clientId: "c", credentials: { tls: { ca: made.ca } } });
    await verified.online(10_000);
    expect(verified.state.isUnverified).toBe(false);
  });

  it("tells when certificates end, three weeks ahead", async ({ skip }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const { ca, cert, key } = made;
    const link = open(url, { credentials: { tls: { ca, cert, key } } });
    await link.online(10_000);
    const { state } = link;
    const now = Date.now();
    for (const end of [state.certificates.broker, state.certificates.client]) {
      // They were made for two days.
      expect((end ?? 0) - now).toBeGreaterThan(86_400_000);
      expect((end ?? 0) - now).toBeLessThan(3 * 86_400_000);
    }
    expect(certificateTrouble({ site: state, cloud: null }, now)).toMatch(/certificate of site ends in 1 day/);
    expect(certificateTrouble({ site: state }, now + 3 * 86_400_000)).toMatch(/ended on \d{4}-/);
    expect(certificateTrouble({ site: state }, now - 30 * 86_400_000)).toBeNull();
  });

  it("shows in `status`, health and metrics of a gateway that takes any certificate, and when the certificates end", async ({
    skip,
  }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const listen = `127.0.0.1:${await freePort()}`;
    const at = (name: string) => join(made.dir, name);
    const client = { cert: at("gateway.pem"), key: at("gateway.key") };
    const told = async (tls: object) => {
      const daemon = new Daemon({
        sensors: { url, tls: { ...client, ...tls } },
        streams: { env: { ...moteStream, model: undefined } },
        dashboard: { listen },
      });
      stops.push(() => daemon.remove());
      await daemon.start();
      const { health } = await daemon.eventually(
        ({ health: { parts } }) => parts.certificates?.state === "degraded",
        "looks at its certificates",
      );
      const shown = await tidegate(["status", "--once", "--config", join(daemon.dir, "tidegate.yaml")]);
      const metrics = await (await fetch(`http://${listen}/metrics`)).text();
      await daemon.stop();
      const metricOf = (name: string) =>
        Number(
          metrics
            .split("\n")
            .find((line) => line.startsWith(name))
            ?.split(" ")[1],
        );
      return { reason: health.parts.certificates, screen: shown.out, metricOf, warnings: daemon.text };
    };
    const end = 'tidegate_certificate_end_timestamp_seconds{link="site",certificate=';
    const unverified = await told({ insecureSkipVerify: true });
    expect(unverified.screen).toContain("ANY CERTIFICATE IS TAKEN");
    expect(unverified.warnings).toContain("tls.insecureSkipVerify is set");
    expect(unverified.metricOf('tidegate_link_unverified{link="site"}')).toBe(1);
    const verified = await told({ ca: at("ca.pem") });
    expect(verified.screen).not.toContain("ANY CERTIFICATE");
    expect(verified.metricOf('tidegate_link_unverified{link="site"}')).toBe(0);
    for (const { reason, metricOf } of [unverified, verified]) {
      expect(reason).toMatchObject({ reason: expect.stringMatching(/certificate of site ends in 1 day/) });
      for (const whose of ["broker", "client"]) {
        const days = (metricOf(`${end}"${whose}"}`) - Date.now() / 1000) / 86_400;
        expect([whose, days > 1 && days < 3]).toEqual([whose, true]);
      }
    }
  }, 60_000);

  it("takes no TLS older than 1.2", async ({ skip }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const read = (name: string) => readFileSync(join(made.dir, name));
    const old = createServer({
      ...{ cert: read("localhost.pem"), key: read("localhost.key"), ciphers: "DEFAULT@SECLEVEL=0" },
      ...{ minVersion: "TLSv1", maxVersion: "TLSv1.1" },
    });
    const reached: string[] = [];
    old.on("secureConnection", () => reached.push("connected"));
    old.listen(0, "127.0.0.1");
    await once(old, "listening");
    stops.push(() => old.close());
    const { port } = old.address() as AddressInfo;
    const link = open(`mqtts://localhost:${port}`, { credentials: { tls: { ca: made.ca } } });
    await expect(link.online(10_000)).rejects.toMatchObject({ code: "BROKER_UNTRUSTED" });
    expect(reached).toEqual([]);
  });

  it("is looked at by `tidegate check`", async ({ skip }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const dir = mkdtempSync(join(tmpdir(), "tidegate-check-tls-"));
    stops.push(() => rmSync(dir, { recursive: true, force: true }));
    const checked = async (tls: object) => {
      const gateway = { id: "gw-1", profile: "generic-x64", dataDir: "data" };
      const whole = { version: 1, gateway, sensors: { url, tls }, buffer: { minFree: "0%" } };
      writeFileSync(join(dir, "tidegate.yaml"), stringify(whole));
      const { checks } = (await tidegate(["check", "--json"], { cwd: dir })).json() as {
        checks: { name: string; level: string; detail: string; remedy: string }[];
      };
      return (name: string) => checks.find((each) => each.name === name);
    };
    const verified = await checked({ ca: join(made.dir, "ca.pem") });
    expect(verified("site broker")?.level).toBe("ok");
    expect(verified("site broker certificates")).toMatchObject({
      level: "warn",
      detail: expect.stringMatching(/^broker's ends in 1 day/),
    });
    expect((await checked({}))("site broker")?.level).toBe("fail");
    expect((await checked({ insecureSkipVerify: true }))("site broker")).toMatchObject({
      level: "warn",
      remedy: expect.stringContaining("insecureSkipVerify"),
    });
  });
});
