import { pbkdf2Sync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { Link } from "../../src/wire/link.ts";
import type { LinkOptions, LinkSettings } from "../../src/wire/link-options.ts";
import { layCable } from "../support/cable.ts";
import { hasOpenssl, makeCertificates } from "../support/certificates.ts";
import { openLink, until } from "../support/links.ts";
import { describeReal, freePort, type Mosquitto, type MosquittoOptions, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function broker(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const started = await startMosquitto(options);
  stops.push(() => started.stop());
  return started;
}

function open(url: string, options: Partial<LinkOptions> = {}, settings: Partial<LinkSettings> = {}) {
  const opened = openLink(url, options, settings);
  stops.push(() => opened.link.stop(1_000));
  return opened;
}

/** Listens to everything as another client. */
async function listener(url: string, filter: string, options: Partial<LinkOptions> = {}) {
  const opened = open(url, {
    ...{ clientId: `listener-${filter}`, ack: "auto" },
    subscriptions: [{ topic: filter, qos: 1, retained: "first" }],
    ...options,
  });
  await opened.link.online(10_000);
  return opened;
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-access-"));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A line of mosquitto's password file. */
function passwordLine(user: string, password: string): string {
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(password, salt, 101, 64, "sha512");
  return `${user}:$7$101$${salt.toString("base64")}$${hash.toString("base64")}\n`;
}

describeReal("access to mosquitto", () => {
  it("needs the right password, and a refusal names its remedy", async () => {
    const dir = folder();
    writeFileSync(join(dir, "passwords"), passwordLine("gateway", "secret"), { mode: 0o600 });
    const { url } = await broker({ isAnonymous: false, conf: [`password_file ${join(dir, "passwords")}`] });
    const credentials = { username: "gateway", password: "secret" };
    await expect(open(url).link.online(10_000)).rejects.toMatchObject({ code: "BROKER_REFUSED" });
    const wrong = open(
      url,
      { clientId: "b", credentials: { ...credentials, password: "guess" } },
      { protocol: "3.1.1" },
    );
    await expect(wrong.link.online(10_000)).rejects.toMatchObject({ code: "BROKER_REFUSED", exit: 69 });
    expect(wrong.link.state.error?.help).toContain("passwordFile");
    expect(JSON.stringify(wrong.link.state)).not.toContain("guess");
    await open(url, { clientId: "c", credentials }).link.online(10_000);
  });

  it("tells what the broker makes of a message: taken, taken by nobody, denied", async () => {
    const dir = folder();
    writeFileSync(join(dir, "rules"), "topic read s/#\ntopic write out/#\ntopic read out/#\n", { mode: 0o600 });
    const { url } = await broker({ conf: [`acl_file ${join(dir, "rules")}`] });
    const { link } = open(url);
    await link.online(10_000);
    expect(await link.publish("out/1", "x", { qos: 1 })).toEqual({ reason: 0x10 });
    await listener(url, "out/#");
    expect(await link.publish("out/1", "x", { qos: 1 })).toEqual({ reason: 0 });
    expect(await link.publish("s/1", "x", { qos: 1 })).toEqual({ reason: 135 });
    expect(link.counters).toMatchObject({ published: 2, refused: 1 });
  });

  it("is announced by birth after the subscriptions, by the will when the line is cut, by a farewell when it ends", async () => {
    const { url, port } = await broker();
    const line = await layCable(port);
    stops.push(() => line.stop());
    const { got } = await listener(url, "status/#");
    const status = (state: string) => ({ topic: "status/gw", payload: state });
    const order: string[] = [];
    const options: Partial<LinkOptions> = {
      ...{ clientId: "gw", will: status("offline"), farewell: status("stopped") },
      birth: () => {
        order.push(`birth:${link?.state.refusedFilters.length}`);
        return status("online");
      },
      onState: (state) => order.push(state),
    };
    let link: Link | undefined;
    link = open(line.url, options).link;
    await until(() => got.length === 1, "the birth");
    expect(order).toEqual(["birth:0", "online"]);
    line.cut();
    await until(() => got.some(({ text }) => text === "offline"), "the will");
    await until(() => got.at(-1)?.text === "online" && link?.state.isOnline === true, "the birth again");
    await link.stop(1_000);
    await until(() => got.at(-1)?.text === "stopped", "the farewell");
    // What was said last is retained, and no will follows a farewell.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const late = await listener(url, "status/+");
    await until(() => late.got.length === 1, "the retained state");
    expect(late.got[0]).toMatchObject({ text: "stopped", retain: true });
  });

  it("ignores retained messages, takes them once where asked, and live ones from the same topic", async () => {
    const started = await broker({ isPersistent: false });
    const { url } = started;
    for (const protocol of ["5", "3.1.1"] as const) {
      const settings = { protocol } as const;
      const { link: sensor } = await listener(url, "nothing", { clientId: `sensor-${protocol}` });
      await sensor.publish("s/old", `kept-${protocol}`, { qos: 1, retain: true });
      const ignoring = open(url, { clientId: `ignoring-${protocol}` }, settings);
      const first = { topic: "s/#", qos: 1, retained: "first" } as const;
      const asking = open(url, { clientId: `asking-${protocol}`, subscriptions: [first] }, settings);
      await Promise.all([ignoring.link.online(10_000), asking.link.online(10_000)]);
      await until(() => asking.got.length === 1, "the retained message");
      await sensor.publish("s/old", `live-${protocol}`, { qos: 1, retain: true });
      await until(() => asking.got.length === 2 && ignoring.got.length === 1, "the live message");
      expect(asking.got.map(({ text, retain }) => [text, retain])).toEqual([
        [`kept-${protocol}`, true],
        [`live-${protocol}`, false],
      ]);
      expect(ignoring.got.map(({ text }) => text)).toEqual([`live-${protocol}`]);
      for (const { link } of [ignoring, asking]) await link.stop(1_000);
      await sensor.stop(1_000);
    }
  });

  it("goes over TLS with a client certificate, and trusts nobody else", async ({ skip }) => {
    if (!hasOpenssl()) skip("needs openssl");
    const { dir, ca, cert, key } = makeCertificates();
    stops.push(() => rmSync(dir, { recursive: true, force: true }));
    const port = await freePort();
    const at = (name: string) => join(dir, name);
    await broker({
      conf: [
        ...[`listener ${port} 127.0.0.1`, "allow_anonymous true", "require_certificate true", `cafile ${at("ca.pem")}`],
        ...[`certfile ${at("localhost.pem")}`, `keyfile ${at("localhost.key")}`],
      ],
    });
    const url = `mqtts://localhost:${port}`;
    const secure = open(url, { clientId: "a", credentials: { tls: { ca, cert, key } } });
    await secure.link.online(10_000);
    expect(await secure.link.publish("out", "x", { qos: 1 })).toEqual({ reason: 0x10 });

    const byAddress = open(`mqtts://127.0.0.1:${port}`, {
      ...{ clientId: "b", credentials: { tls: { ca, cert, key, servername: "localhost" } } },
    });
    await byAddress.link.online(10_000);
    const refused: [string, LinkOptions["credentials"]["tls"] & object][] = [
      ["an authority that is not known", { cert, key }],
      ["another name than the certificate's", { ca, cert, key, servername: "elsewhere" }],
      ["a certificate that cannot be read", { ca, cert: "nonsense", key }],
    ];
    for (const [name, tls] of refused) {
      const { link } = open(url, { clientId: "c", credentials: { tls } });
      await expect(link.online(10_000), name).rejects.toMatchObject({ code: "BROKER_UNTRUSTED" });
      await link.stop(500);
    }
    const plain = open(`mqtt://127.0.0.1:${port}`, { clientId: "d" }, { connectTimeout: 500 });
    await expect(plain.link.online(10_000), "no TLS where TLS is spoken").rejects.toMatchObject({ exit: 69 });
    const anonymous = open(url, { clientId: "e", credentials: { tls: { ca } } });
    await expect(anonymous.link.online(10_000), "no certificate").rejects.toMatchObject({ exit: 69 });
  });

  it("is told as unreachable where nobody listens, and as invalid where the address is none", async () => {
    const { link } = open(`mqtt://127.0.0.1:${await freePort()}`);
    await expect(link.online(10_000)).rejects.toMatchObject({ code: "BROKER_UNREACHABLE" });
    for (const url of ["http://127.0.0.1", "127.0.0.1:1883", "mqtt://"]) {
      const started = openLink("mqtt://127.0.0.1:1", {}, {}).link;
      await started.stop(100);
      const { Link } = await import("../../src/wire/link.ts");
      const { linkOptions } = await import("../support/links.ts");
      await expect(new Link(linkOptions(url)).start()).rejects.toMatchObject({ code: "LINK_INVALID", exit: 78 });
    }
  });
});
