import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { stringify } from "yaml";
import type { Signer } from "../../src/crypto/signing.ts";
import { moteStream } from "../support/daemon.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { startGuarded } from "../support/guarded-mosquitto.ts";
import { describeReal } from "../support/mosquitto.ts";
import { alice, base64, bob, mallory, seedOf } from "../unit/control/trust-world.ts";
import { jsonOf, tidegate } from "./verbs-fixture.ts";

const policy = `
principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
  bob: { keys: ["${base64(bob)}"], roles: [operator] }
rules:
  - { allow: [config.set, config.reset], roles: [operator] }
  - { allow: [config.guarded, data.erase], roles: [operator], require: { signers: 2 } }
egress: { env: results }
`;
const own = "tidegate/v1/test/gateways/gw-1/";

type Answer = { gateway: string; outcome: string; reason?: string };
type Entry = { n: number; what: string; outcome: string; name: string; by: string[]; reason: string | null };

/** Site and cloud under the rules that `config acl` writes, a gateway between them, and an operator with a file of his own. */
async function openWorld() {
  const daemon = daemonAt("mqtt://x", {});
  const { dir } = daemon;
  const at = (name: string) => join(dir, name);
  const users = ["gw-1", "alice", "motes"];
  for (const user of users) writeFileSync(at(`${user}.password`), `${user}\n`, { mode: 0o600 });
  const as = (user: string) => ({ username: user, passwordFile: at(`${user}.password`) });
  const file = at("tidegate.yaml");
  const acl = async (...words: string[]) => (await tidegate("config", "acl", "--config", file, ...words)).out;
  const site = await startGuarded(dir, "site", await acl("--site", "--gateway", "gw-1", "--sensor", "motes"));
  atEnd(() => site.stop());
  const cloud = await startGuarded(dir, "cloud", await acl("--cloud", "--gateway", "gw-1", "--operator", "alice"));
  atEnd(() => cloud.stop());
  daemon.configure({
    sensors: { url: site.url, ...as("gw-1") },
    cloud: { url: cloud.url, ...as("gw-1") },
    streams: { env: moteStream },
    policy: "policy.yaml",
    control: { trialWindow: "2s" },
  });
  writeFileSync(at("policy.yaml"), policy);
  const desk = at("operator.yaml");
  writeFileSync(
    desk,
    stringify({
      version: 1,
      gateway: { id: "desk", fleet: "test", dataDir: at("desk") },
      sensors: { url: "mqtt://x" },
      cloud: { url: cloud.url, ...as("alice") },
    }),
  );
  const keyOf = (signer: Signer, name: string) => {
    writeFileSync(at(name), Buffer.from(seedOf(signer)).toString("base64"), { mode: 0o600 });
    return at(name);
  };
  const keys = { alice: keyOf(alice, "a.key"), bob: keyOf(bob, "b.key"), mallory: keyOf(mallory, "m.key") };
  const push = async (overlay: object, ...by: (keyof typeof keys)[]) => {
    writeFileSync(at("overlay.yaml"), stringify(overlay));
    const signed = by.flatMap((name) => ["--key", keys[name]]);
    const words = ["config", "push", at("overlay.yaml"), "--to", "gw-1", ...signed, "--wait", "20s", "--json"];
    const [answer] = jsonOf<Answer[]>(await tidegate(...words, "--config", desk));
    return answer;
  };
  const verb = (...words: string[]) => tidegate(...words, "--config", file);
  const operator = await connectAsync(cloud.url, { username: "alice", password: "alice", protocolVersion: 5 });
  atEnd(() => operator.endAsync(true));
  const motes = await connectAsync(site.url, { username: "motes", password: "motes", protocolVersion: 5 });
  atEnd(() => motes.endAsync(true));
  return { daemon, push, verb, operator, motes, keys, desk };
}

describeReal("trust, through brokers under the generated access rules", () => {
  it("takes what is good, undoes what is bad, refuses what is old or a stranger's, erases, and writes it all down", async () => {
    const { daemon, push, verb, operator, motes, keys, desk } = await openWorld();
    let desired: Buffer | undefined;
    let reported: { refused: { reason: string } | null } | undefined;
    operator.on("message", (topic, payload) => {
      if (topic === `${own}twin/desired`) desired = payload;
      if (topic === `${own}twin/reported`) reported = JSON.parse(payload.toString());
    });
    await operator.subscribeAsync([`${own}twin/reported`, `${own}twin/desired`], { qos: 1 });
    await daemon.start();

    // A good one stays; the next takes the broker away and is undone without anybody's help.
    expect(await push({ streams: { env: { alarm: { onAfter: 3 } } } }, "alice")).toMatchObject({
      outcome: "committed",
    });
    const good = desired;
    expect(good).toBeDefined();
    expect(await push({ sensors: { url: "mqtt://127.0.0.1:1" } }, "alice", "bob")).toMatchObject({
      ...{ outcome: "reverted", reason: "the site's broker is lost" },
    });
    // While it starts anew it has no link to tell of.
    await daemon.eventually(({ site }) => (site as typeof site | null)?.isOnline === true, "is back online");
    const shown = await verb("config", "get", "streams.env.alarm.onAfter", "--json", "--origin");
    expect(jsonOf(shown)).toEqual({ "streams.env.alarm.onAfter": { value: 3, origin: "remote" } });

    // The first again, word for word; and one that a stranger signed.
    await operator.publishAsync(`${own}twin/desired`, good ?? "", { qos: 1, retain: true });
    await expect.poll(() => reported?.refused, { timeout: 10_000 }).toEqual({ reason: "old-version" });
    const strangers = await push({ gateway: { logLevel: "debug" } }, "mallory");
    expect(strangers).toMatchObject({ outcome: "refused", reason: "unknown-key" });

    for (let i = 0; i < 40; i++) {
      const reading = { ts: 1.7e12 + i * 5_000, humidity: 40.25, temperature: 21.5 };
      await motes.publishAsync("motes/m0/env", JSON.stringify(reading), { qos: 1 });
    }
    await daemon.eventually(({ streams }) => streams.env?.stored === 40, "has stored all");
    const erase = ["fleet", "command", "gw-1", "data.erase", "--param", "stream=env", "--config", desk, "--json"];
    const alone = await tidegate(...erase, "--key", keys.alice);
    expect(alone).toMatchObject({ code: 1 });
    expect(jsonOf(alone)).toMatchObject({ status: "failed", reason: "too-few-signatures" });
    const both = await tidegate(...erase, "--key", keys.alice, "--key", keys.bob);
    expect(both).toMatchObject({ code: 0 });
    const said = both.out.trim().split("\n");
    expect(said.map((line) => JSON.parse(line).status)).toEqual(["accepted", "executing", "successful"]);
    expect(jsonOf(both)).toMatchObject({ result: { receipt: { kind: "erase-receipt", by: ["stream"] } } });
    expect(await verb("buffer", "export", "--stream", "env", "--format", "ndjson")).toMatchObject({ code: 0, out: "" });

    const entries = jsonOf<Entry[]>(await verb("audit", "ls", "--json")).toReversed();
    expect(entries.map(({ name, outcome, reason, by }) => [name, reason ?? outcome, by.join("+")])).toEqual([
      ["twin-desired", "accepted", "alice"],
      ["committed", "done", ""],
      ["twin-desired", "accepted", "alice+bob"],
      ["reverted", "the site's broker is lost", ""],
      ["twin-desired", "old-version", "alice"],
      ["twin-desired", "unknown-key", ""],
      ["command", "too-few-signatures", "alice"],
      ["command", "accepted", "alice+bob"],
      ["data.erase", "done", "alice+bob"],
      ["buffer.export", "accepted", "site"],
    ]);
    expect(await verb("audit", "verify")).toMatchObject({ code: 0 });

    await daemon.stop();
    const db = new Sqlite(join(daemon.dataDir, "state.db"));
    const row = db.prepare("SELECT body_sealed AS body FROM audit WHERE n = 6").get() as { body: Buffer };
    row.body[30] = (row.body[30] ?? 0) ^ 1;
    db.prepare("UPDATE audit SET body_sealed = ? WHERE n = 6").run(row.body);
    db.close();
    const broken = await verb("audit", "verify");
    expect(broken).toMatchObject({ code: 1, out: expect.stringContaining("entry 6") });
  }, 120_000);
});
