import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { tidegate } from "../support/command-line.ts";
import { bundleOf, CoordinatorProcess } from "../support/coordinator-process.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { startGuarded } from "../support/guarded-mosquitto.ts";
import { until } from "../support/links.ts";
import { describeReal } from "../support/mosquitto.ts";
import { SinkProcess } from "../support/sink-process.ts";
import { TestGateway } from "../support/test-gateway.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-acl-"));
  stops.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A broker under the rules that the verb wrote; it ends with the test. */
async function guarded(dir: string, name: string, acl: string) {
  const broker = await startGuarded(dir, name, acl);
  stops.push(() => broker.stop());
  return broker;
}

/** Another client of a broker, and everything that reaches it. */
async function client(url: string, user: string) {
  const got: string[] = [];
  const mqtt = await connectAsync(url, { username: user, password: user, protocolVersion: 5 });
  stops.push(() => mqtt.endAsync(true));
  mqtt.on("message", (topic) => got.push(topic));
  return { mqtt, got };
}

/** Whether the broker lets this client publish there. */
const mayPublish = (mqtt: MqttClient, topic: string): Promise<boolean> =>
  mqtt.publishAsync(topic, "x", { qos: 1 }).then(
    () => true,
    () => false,
  );

async function acl(config: object, ...words: string[]): Promise<string> {
  const file = join(folder(), "tidegate.yaml");
  writeFileSync(file, stringify({ version: 1, ...config }));
  const { code, out, err } = await tidegate(["config", "acl", "--config", file, ...words]);
  if (code !== 0) throw new Error(err);
  return out;
}

const env = { ...moteStream, uplink: "raw" };

describeReal("the access rules that `config acl` writes", () => {
  it("let gateway, sensors and sink work, and keep strangers and the neighbour away from the gateway's topics", async () => {
    const dir = folder();
    const gateway = { id: "gw-1", fleet: "test" };
    const base = { gateway, sensors: { url: "mqtt://x", username: "gw-1" }, streams: { env } };
    const siteUsers = ["--gateway", "gw-1", "--gateway", "gw-2", "--sensor", "motes", "--reader", "app"];
    const site = await guarded(dir, "site", await acl(base, "--site", ...siteUsers));
    const gateways = ["--gateway", "gw-1", "--gateway", "gw-2=second"];
    const people = ["--sink", "sink", "--coordinator", "brain", "--operator", "alice", "--worker", "w"];
    const cloud = await guarded(dir, "cloud", await acl(base, "--cloud", ...gateways, ...people));
    for (const user of ["gw-1", "sink"]) writeFileSync(join(dir, `${user}.password`), `${user}\n`, { mode: 0o600 });

    const sinkDir = join(dir, "sink");
    const { signer } = openKeyRing({ dataDir: sinkDir });
    const dataSigner = Buffer.from(signer.publicKey).toString("base64");
    const as = (user: string) => ({ username: user, passwordFile: join(dir, `${user}.password`) });
    const daemon = new Daemon({
      sensors: { url: site.url, ...as("gw-1") },
      cloud: { url: cloud.url, ...as("gw-1"), dataSigner },
      streams: { env },
    });
    stops.push(() => daemon.remove());
    const readings = join(dir, "readings");
    const settings = join(dir, "sink.yaml");
    writeFileSync(
      settings,
      stringify({
        broker: cloud.url,
        ...as("sink"),
        dataDir: sinkDir,
        fleet: "test",
        trustFirstUse: true,
        to: `ndjson:${readings}`,
      }),
    );
    const sink = new SinkProcess("--config", settings);
    stops.push(() => sink.stop());

    const neighbour = await client(cloud.url, "second");
    const stranger = await client(cloud.url, "stranger");
    const operator = await client(cloud.url, "alice");
    const own = "tidegate/v1/test/gateways/gw-1";
    for (const { mqtt } of [neighbour, stranger, operator]) await mqtt.subscribeAsync("tidegate/#", { qos: 1 });
    const app = await client(site.url, "app");
    await app.mqtt.subscribeAsync("#", { qos: 1 });
    const beside = await client(site.url, "gw-2");
    await beside.mqtt.subscribeAsync("tidegate/gw-1/#", { qos: 1 });

    await daemon.start();
    const motes = await client(site.url, "motes");
    for (let i = 0; i < 40; i++) {
      const reading = { ts: 1.7e12 + i * 5_000, humidity: 40.25, temperature: 21.5 };
      expect(await mayPublish(motes.mqtt, "motes/m0/env")).toBe(true);
      await motes.mqtt.publishAsync("motes/m0/env", JSON.stringify(reading), { qos: 1 });
    }
    const lines = () =>
      readdirSync(readings, { withFileTypes: true }).flatMap(({ name }) =>
        name.includes(".raw.") ? readFileSync(join(readings, name), "utf8").trim().split("\n") : [],
      );
    await until(
      () => {
        try {
          return lines().length >= 40;
        } catch {
          return false;
        }
      },
      "40 readings at the sink",
      60_000,
    );
    await until(() => app.got.some((topic) => topic.startsWith("tidegate/gw-1/results/env")), "results at the site");

    // The neighbour has a subtree of its own and no part of this one, neither to read nor to write.
    expect(await mayPublish(neighbour.mqtt, "tidegate/v1/test/gateways/gw-2/data/env")).toBe(true);
    for (const path of ["data/env", "status", "twin/desired", "cmd/1", "receipts/data", "updates/m/1"]) {
      for (const [name, { mqtt }] of Object.entries({ neighbour, stranger }))
        expect([name, path, await mayPublish(mqtt, `${own}/${path}`)]).toEqual([name, path, false]);
      expect([path, await mayPublish(operator.mqtt, `${own}/${path}`)]).toEqual([
        path,
        path === "twin/desired" || path === "cmd/1",
      ]);
    }
    for (const topic of ["keys/data", "models/m/manifest", "rounds/m"])
      for (const { mqtt } of [neighbour, stranger])
        expect([topic, await mayPublish(mqtt, `tidegate/v1/test/${topic}`)]).toEqual([topic, false]);
    expect(neighbour.got.filter((topic) => topic.startsWith(own))).toEqual([]);
    expect(neighbour.got).toContain("tidegate/v1/test/keys/data");
    expect(stranger.got).toEqual([]);
    expect(operator.got).toContain(`${own}/status`);
    expect(operator.got.filter((topic) => topic.includes("/data/"))).toEqual([]);
    expect(app.got.filter((topic) => topic.startsWith("motes/"))).toEqual([]);
    expect(beside.got).toEqual([]);
    expect(await mayPublish(beside.mqtt, "tidegate/gw-1/results/env/m0")).toBe(false);
    expect(await mayPublish(motes.mqtt, "tidegate/gw-1/results/env/m0")).toBe(false);
  });
});

describeReal("the access rules of a cloud that learns", () => {
  it("let a coordinator lead, take gateways in and learn from them, and nobody else speak in its place", async () => {
    const dir = folder();
    const [model, fleet] = ["mote-anomaly", "tidegate/v1/demo"];
    const base = { gateway: { id: "gw-1", fleet: "demo" }, sensors: { url: "mqtt://x" }, streams: { env } };
    const gateways = ["--gateway", "gw-1", "--gateway", "gw-2"];
    const people = ["--sink", "sink", "--coordinator", "brain", "--operator", "alice", "--worker", "w"];
    const cloud = await guarded(dir, "cloud", await acl(base, "--cloud", ...gateways, ...people));
    const as = (user: string) => {
      const passwordFile = join(dir, `${user}.password`);
      writeFileSync(passwordFile, `${user}\n`, { mode: 0o600 });
      return { username: user, passwordFile };
    };
    const brain = { ...as("brain"), broker: cloud.url };
    const coordinator = new CoordinatorProcess({
      ...brain,
      models: { [model]: { bundle: bundleOf(model), quorum: { min: 1, target: 1 } } },
    });
    stops.push(() => coordinator.remove());
    await coordinator.start();

    // Taken in by a token, through the verb, as the gateway's own user.
    const { token } = await coordinator.ask<{ token: string }>("fleet.token", { gateway: null, expiresMs: 60_000 });
    const key = Buffer.from(coordinator.publicKey).toString("base64");
    writeFileSync(
      join(dir, "policy.yaml"),
      stringify({
        principals: { brain: { keys: [key], roles: ["coordinator"] } },
        rules: [{ allow: ["round.start"], roles: ["coordinator"] }],
      }),
    );
    writeFileSync(
      join(dir, "gw-2.yaml"),
      stringify({
        ...{ version: 1, ...base, gateway: { ...base.gateway, id: "gw-2", dataDir: "./gw-2" } },
        ...{ cloud: { url: cloud.url, ...as("gw-2") }, policy: "policy.yaml" },
      }),
    );
    const joined = await tidegate(["fleet", "join", "--config", join(dir, "gw-2.yaml"), "--token", token, "--json"]);
    expect([joined.code, joined.json()]).toMatchObject([0, { status: "enrolled" }]);

    const credentials = { username: "gw-1", password: "gw-1" };
    const gateway = new TestGateway({
      id: "gw-1",
      url: cloud.url,
      model,
      trusted: [coordinator.publicKey],
      credentials,
    });
    stops.push(() => gateway.stop());
    const own = Buffer.from(gateway.keys.signer.publicKey).toString("base64");
    await coordinator.ask("fleet.enroll", { gateway: "gw-1", key: own });
    await gateway.start();
    const clients = Object.fromEntries(
      await Promise.all(
        ["gw-2", "w", "alice", "sink", "stranger", "brain"].map(
          async (user) => [user, await client(cloud.url, user)] as const,
        ),
      ),
    );
    for (const { mqtt } of Object.values(clients)) await mqtt.subscribeAsync("tidegate/#", { qos: 1 });
    await coordinator.ask("fleet.rounds.start", { rounds: 1 });
    await coordinator.until(({ models }) => models[0]?.state === "published", "has published round 1");
    await expect
      .poll(() => gateway.receipts, { timeout: 10_000 })
      .toContainEqual(expect.objectContaining({ status: "accepted" }));

    // Who may publish where: everything that a fleet believes of somebody has one user who may say it.
    const said: Record<string, string[]> = {
      "coordinator/lease": ["brain"],
      [`coordinator/${"0".repeat(16)}`]: ["brain"],
      [`rounds/${model}`]: ["brain"],
      [`models/${model}/manifest`]: ["alice", "brain"],
      [`models/${model}/blob/${"0".repeat(64)}/0`]: ["alice", "brain"],
      "keys/data": ["sink"],
      "gateways/gw-1/receipts/update-m": ["sink", "brain"],
      "gateways/gw-1/twin/desired": ["alice"],
      "gateways/gw-1/cmd/1": ["alice"],
      "gateways/gw-1/answers/1": ["w"],
      "gateways/gw-1/updates/m/1": [],
      "gateways/gw-1/enrolment": [],
      "gateways/gw-1/status": [],
      "gateways/gw-1/data/env": [],
      "gateways/gw-1/erase/env": [],
    };
    for (const [path, allowed] of Object.entries(said)) {
      const may: string[] = [];
      for (const [user, { mqtt }] of Object.entries(clients))
        if (await mayPublish(mqtt, `${fleet}/${path}`)) may.push(user);
      expect([path, may.toSorted()]).toEqual([path, allowed.toSorted()]);
    }
    // What a gateway learned is read by the coordinator alone, and no more than a claim to lead is heard by the others.
    const heard = (user: string, word: string) => clients[user]?.got.some((topic) => topic.includes(word));
    for (const user of ["gw-2", "w", "alice", "sink", "stranger"])
      expect([user, heard(user, "/updates/"), heard(user, "coordinator/")]).toEqual([user, false, false]);
    expect([heard("brain", "/updates/"), heard("brain", "coordinator/lease")]).toEqual([true, true]);
    expect((await coordinator.status()).role).toBe("leading");
  }, 60_000);
});

describe("config acl", () => {
  const base = { gateway: { id: "gw-1", fleet: "test" }, sensors: { url: "mqtt://x" }, streams: { env } };

  it("takes this gateway as the configuration has it", async () => {
    const cloud = { url: "mqtt://x", username: "house 7" };
    expect(await acl({ ...base, cloud }, "--cloud")).toContain(
      "user house 7\ntopic readwrite tidegate/v1/test/gateways/gw-1/#\n",
    );
    expect(await acl(base, "--site")).toContain("user gw-1\ntopic read $SYS/broker/version\ntopic read motes/+/env\n");
  });

  it("refuses names that would open the rules, and asks for which broker", async () => {
    await expect(acl(base, "--cloud", "--sink", "sink\ntopic readwrite #")).rejects.toThrow(/cannot be a user/);
    await expect(acl(base, "--cloud", "--gateway", "+=x")).rejects.toThrow(/no gateway's id/);
    await expect(acl(base)).rejects.toThrow(/--site or --cloud/);
    await expect(acl(base, "--site", "--cloud")).rejects.toThrow(/--site or --cloud/);
  });
});
