import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { until } from "../support/links.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/publisher.ts";
import { SinkProcess } from "../support/sink-process.ts";
import { jsonOf, Site } from "./verbs-fixture.ts";

const stops: (() => unknown)[] = [];
let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-trust-"));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(dir, { recursive: true, force: true });
});

const publicKey = (name: string) => {
  const { signer } = openKeyRing({ dataDir: join(dir, name) });
  return Buffer.from(signer.publicKey).toString("base64");
};

describe("principals of the policy", () => {
  it("are given keys and roles, and lose them, with what names them; the file's comments stay", async () => {
    const [alice, bob, second] = ["alice", "bob", "second"].map(publicKey) as [string, string, string];
    const site = new Site({ policy: "./policy.yaml" });
    stops.push(() => site.remove());
    const file = join(site.dir, "policy.yaml");
    writeFileSync(
      file,
      [
        "# who may do what here",
        `principals: { alice: { keys: ["${alice}"], roles: [operator] } }`,
        "rules:",
        "  - { allow: [config.set], roles: [operator] } # everyday work",
        "",
      ].join("\n"),
    );
    const policy = async () =>
      jsonOf<{ principals: Record<string, { keys: string[] }> }>(await site.run("policy", "show", "--json"));
    expect((await site.run("keys", "trust", "bob", bob, "--role", "operator", "auditor")).code).toBe(0);
    expect((await site.run("keys", "trust", "alice", second)).code).toBe(0);
    const { principals } = await policy();
    expect([principals.alice?.keys.length, principals.bob?.keys.length]).toEqual([2, 1]);
    const again = await site.run("keys", "trust", "bob", bob, "--json");
    expect(jsonOf(again)).toMatchObject({ name: "bob", isNew: false });

    expect((await site.run("keys", "revoke", "alice", alice)).code).toBe(0);
    expect((await policy()).principals.alice?.keys).toHaveLength(1);
    expect((await site.run("keys", "revoke", "alice")).code).toBe(0);
    expect(Object.keys((await policy()).principals)).toEqual(["bob"]);
    expect(readFileSync(file, "utf8")).toContain("# who may do what here");
    expect(readFileSync(file, "utf8")).toContain("# everyday work");

    // The last one who could do it stays: a policy that nobody fulfils is refused, and the file is as it was.
    const before = readFileSync(file, "utf8");
    const last = await site.run("keys", "revoke", "bob", "--json");
    expect(last.code).not.toBe(0);
    expect(readFileSync(file, "utf8")).toBe(before);
    expect((await site.run("keys", "trust", "carol", "not a key")).code).toBe(64);
    expect((await site.run("keys", "trust", "demo/gw-1", alice)).code).toBe(64);
  });
});

describeReal("gateways that a sink trusts", () => {
  it("are trusted and revoked while it runs, and a revoked name is not taken on first use", async () => {
    const [site, cloud] = [await startMosquitto(), await startMosquitto()];
    stops.push(
      () => site.stop(),
      () => cloud.stop(),
    );
    const sinkDir = join(dir, "sink");
    const dataSigner = publicKey("sink");
    const readings = join(dir, "readings");
    const sink = new SinkProcess(
      ...["--broker", cloud.url, "--fleet", "test", "--data-dir", sinkDir, "--to", `ndjson:${readings}`],
    );
    stops.push(() => sink.stop());
    const daemon = new Daemon({
      sensors: { url: site.url },
      cloud: { url: cloud.url, dataSigner },
      streams: { env: { ...moteStream, model: undefined, uplink: "raw" } },
    });
    stops.push(() => daemon.remove());
    await daemon.start();
    const { keys } = (
      await tidegate(["keys", "show", "--config", join(daemon.dir, "tidegate.yaml"), "--json"])
    ).json() as { keys: { signing: { publicKey: string } } };
    const count = () => {
      try {
        return readdirSync(readings).reduce(
          (sum, name) => sum + readFileSync(join(readings, name), "utf8").trim().split("\n").length,
          0,
        );
      } catch {
        return 0;
      }
    };
    const sensors = await Publisher.connect(site.url, { motes: 1 });
    stops.push(() => sensors.close());
    await sensors.send(20);
    await until(() => sink.text.includes("says that it comes from gateway"), "a batch that is refused", 30_000);
    expect(count()).toBe(0);
    const verb = async (...words: string[]) => (await tidegate(["keys", ...words, "--dir", sinkDir])).code;
    expect(await verb("trust", "test/gw-1", keys.signing.publicKey)).toBe(0);
    // A batch that got no receipt is sent again after half a minute, or by the next life of the gateway.
    await daemon.stop();
    await daemon.start();
    await until(() => count() === 20, "what was owed, once its key is trusted", 60_000);
    const before = sink.text.length;
    expect(await verb("revoke", "test/gw-1")).toBe(0);
    await until(() => sink.text.slice(before).includes("read again"), "the sink takes it up", 10_000);
    await sensors.send(20);
    await new Promise((done) => setTimeout(done, 2_000));
    expect(count()).toBe(20);
    expect(JSON.parse(readFileSync(join(sinkDir, "trusted.json"), "utf8"))).toEqual({ gateways: { "test/gw-1": [] } });
  }, 120_000);
});
