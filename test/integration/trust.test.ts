import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { type CommandRequest, signCommand } from "../../src/control/command-document.ts";
import type { CommandStatus } from "../../src/control/commands.ts";
import type { Signer } from "../../src/crypto/signing.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener, Publisher } from "../support/publisher.ts";
import { alice, base64, bob, mallory } from "../unit/control/trust-world.ts";
import { tidegate } from "./verbs-fixture.ts";

const policy = `
principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
  bob: { keys: ["${base64(bob)}"], roles: [operator] }
rules:
  - { allow: [config.set, config.reset], roles: [operator] }
  - { allow: [keys.rotate, data.erase], roles: [operator], require: { signers: 2 } }
`;
const own = "tidegate/v1/test/gateways/gw-1/";

type GatewayStatus = { state: string; challenge: string; audit: { n: number; hash: string }; clock: object };

/** A daemon with a cloud and a policy, and somebody in the cloud who hears everything and may say anything. */
async function openWorld() {
  const broker = await startMosquitto();
  atEnd(() => broker.stop());
  const heard = await Listener.connect(broker.url, "tidegate/v1/#");
  atEnd(() => heard.close());
  const cloud = await connectAsync(broker.url, { protocolVersion: 5 });
  atEnd(() => cloud.endAsync(true));
  const daemon = daemonAt(broker.url, { cloud: { url: broker.url }, policy: "policy.yaml" });
  writeFileSync(join(daemon.dir, "policy.yaml"), policy);
  await daemon.start();
  const status = () => heard.json<GatewayStatus>(`${own}status`).findLast(({ state }) => state === "online");
  await expect.poll(status).toBeTruthy();
  const publish = (id: string, envelope: unknown) =>
    cloud.publishAsync(`${own}cmd/${id}`, JSON.stringify(envelope), { qos: 1 });
  let version = Date.now();
  const command = (id: string, signers: Signer[], more: Partial<CommandRequest> = {}) =>
    signCommand(
      { fleet: "test", gateway: "gw-1", id, name: "keys.rotate", validMs: 60_000, ...more },
      signers,
      version++,
    );
  const told = (id: string) =>
    heard.json<CommandStatus>(`${own}cmd/${id}/status`).map(({ status: said, reason }) => reason ?? said);
  const refusals = async () => (await daemon.ask<{ documents: Record<string, number> }>("status")).documents;
  const verb = (...words: string[]) => tidegate(...words, "--config", join(daemon.dir, "tidegate.yaml"));
  const results = (id: string) => heard.json<CommandStatus>(`${own}cmd/${id}/status`).at(-1)?.result;
  return { daemon, status, publish, command, told, results, refusals, verb, site: broker.url };
}

describeReal("a gateway and those who command it", () => {
  it("does what those who may have signed, once, and refuses everybody else", async () => {
    const { status, publish, command, told, refusals, daemon, verb } = await openWorld();
    const challenge = status()?.challenge;
    expect(challenge).toMatch(/^[0-9a-f]{32}$/);

    const rotate = command("c1", [alice, bob], { challenge });
    await publish("c1", rotate);
    await expect.poll(() => told("c1")).toEqual(["accepted", "executing", "successful"]);
    await expect.poll(() => status()?.challenge).not.toBe(challenge);
    // The same again, under its own name and another.
    await publish("c1", rotate);
    await publish("c2", rotate);
    await publish("c3", command("c3", [alice, bob], { challenge }));
    await publish("c4", command("c4", [mallory], { challenge: status()?.challenge }));
    await publish("c5", command("c5", [alice], { challenge: status()?.challenge }));
    await publish("c6", command("c6", [alice, bob], { challenge: status()?.challenge, gateway: "gw-2" }));
    await publish("c7", command("c7", [alice, bob], { name: "rm" }));
    await expect.poll(() => told("c7")).toEqual(["malformed"]);
    expect(["c1", "c2", "c3", "c4", "c5", "c6"].map((id) => told(id).at(-1))).toEqual([
      ...["successful", undefined, "challenge", undefined, "too-few-signatures", undefined],
    ]);
    expect(await refusals()).toEqual({
      ...{ accepted: 1, "old-version": 1, malformed: 2, challenge: 1 },
      ...{ "unknown-key": 1, "too-few-signatures": 1, "wrong-audience": 1 },
    });

    const listed = await verb("audit", "ls", "--json");
    const entries = JSON.parse(listed.out) as { what: string; outcome: string; name: string; reason: string | null }[];
    expect(entries.map(({ outcome, reason }) => reason ?? outcome)).toEqual([
      ...["malformed", "wrong-audience", "too-few-signatures", "unknown-key", "challenge", "malformed", "old-version"],
      ...["done", "accepted"],
    ]);
    expect(await verb("audit", "verify")).toMatchObject({ code: 0 });
    const head = entries.length;
    expect(await verb("audit", "verify", "--head", `${head + 1}:00`)).toMatchObject({ code: 1 });

    await daemon.stop();
    expect(await verb("audit", "verify")).toMatchObject({ code: 0, out: expect.stringContaining("9 entries hold") });
    const db = new Sqlite(join(daemon.dataDir, "state.db"));
    const row = db.prepare("SELECT body_sealed AS body FROM audit WHERE n = 4").get() as { body: Buffer };
    row.body[30] = (row.body[30] ?? 0) ^ 4;
    db.prepare("UPDATE audit SET body_sealed = ? WHERE n = 4").run(row.body);
    db.close();
    const broken = await verb("audit", "verify");
    expect(broken).toMatchObject({ code: 1, out: expect.stringContaining("entry 4") });
  }, 60_000);

  it("erases by command, with a receipt, and writes down what was exported and erased", async () => {
    const { status, publish, command, told, results, daemon, verb, site } = await openWorld();
    const sensors = await Publisher.connect(site);
    atEnd(() => sensors.close());
    await sensors.send(40);
    await daemon.eventually(({ streams }) => streams.env?.stored === 40, "has stored all");
    expect(await verb("buffer", "export", "--stream", "env", "--format", "ndjson")).toMatchObject({ code: 0 });
    const erase = { name: "data.erase", params: { stream: "env" }, challenge: status()?.challenge };
    await publish("e1", command("e1", [alice, bob], erase));
    await expect.poll(() => told("e1").at(-1), { timeout: 20_000 }).toBe("successful");
    expect(results("e1")).toMatchObject({ receipt: { kind: "erase-receipt", by: ["stream"] } });
    const left = await verb("buffer", "export", "--stream", "env", "--format", "ndjson");
    expect(left).toMatchObject({ code: 0, out: "" });
    const listed = await verb("audit", "ls", "--json");
    const entries = JSON.parse(listed.out) as { what: string; name: string; by: string[] }[];
    expect(entries.map(({ what, name }) => `${what} ${name}`)).toEqual([
      ...["export buffer.export", "command data.erase", "document command", "export buffer.export"],
    ]);
  }, 120_000);

  it("obeys a new key from the moment that the site trusts it until it is revoked, without an end", async () => {
    const { publish, command, told, verb, daemon } = await openWorld();
    const { pid } = daemon;
    const said = async (id: string, signer: Signer) => {
      await publish(id, command(id, [signer], { name: "config.check", params: { config: {} } }));
      // What comes after it, and is allowed, is answered after it.
      await publish(`${id}-after`, command(`${id}-after`, [alice], { name: "config.check", params: { config: {} } }));
      await expect.poll(() => told(`${id}-after`).at(-1), { timeout: 10_000 }).toBe("successful");
      return told(id).at(-1);
    };
    expect(await said("k1", mallory)).toBeUndefined();
    expect(await verb("keys", "trust", "carol", base64(mallory), "--role", "operator")).toMatchObject({ code: 0 });
    expect(await said("k2", mallory)).toBe("successful");
    expect(await verb("keys", "revoke", "carol")).toMatchObject({ code: 0 });
    expect(await said("k3", mallory)).toBeUndefined();
    expect(daemon.pid).toBe(pid);
  }, 60_000);

  it("takes no command twice when it was killed meanwhile, and has another challenge", async () => {
    const { status, publish, command, told, daemon } = await openWorld();
    const { challenge } = status() ?? {};
    const rotate = command("c1", [alice, bob], { challenge });
    await publish("c1", rotate);
    await expect.poll(() => told("c1").at(-1)).toBe("successful");
    await daemon.kill();
    await daemon.start();
    await expect.poll(() => status()?.challenge).not.toBe(challenge);
    await publish("c1", rotate);
    await publish("c9", command("c9", [alice], {}));
    await expect.poll(() => told("c9")).toEqual(["too-few-signatures"]);
    expect(told("c1")).toEqual(["accepted", "executing", "successful"]);
  }, 60_000);
});

describeReal("the verbs of the policy", () => {
  it("show it and explain a decision", async () => {
    const daemon = daemonAt("mqtt://127.0.0.1:1", { policy: "policy.yaml" });
    const file = join(daemon.dir, "policy.yaml");
    writeFileSync(file, policy);
    const verb = (...words: string[]) => tidegate("policy", ...words, "--config", join(daemon.dir, "tidegate.yaml"));
    expect(await verb("show")).toMatchObject({ code: 0, out: expect.stringContaining("changed at the site only") });
    const allowed = await verb("test", "keys.rotate", "--by", "alice", "bob");
    expect(allowed).toMatchObject({ code: 0, out: expect.stringContaining("Allowed by rule 2") });
    const refused = await verb("test", "keys.rotate", "--by", "alice", "carol");
    expect(refused.code).toBe(1);
    expect(refused.out).toContain("No principal is called carol.");
    expect(refused.out).toContain("rule 1 is about config.set, config.reset");
    expect(refused.out).toContain("rule 2 asks for 2 of operator: 1 signed");
    writeFileSync(file, policy.replace("keys.rotate,", "keys.rotat,"));
    const faulty = await verb("show");
    expect(faulty).toMatchObject({ code: 78, err: expect.stringContaining("did you mean keys.rotate?") });
  });
});
