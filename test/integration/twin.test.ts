import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { signDocument } from "../../src/crypto/signed-document.ts";
import type { Signer } from "../../src/crypto/signing.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener } from "../support/publisher.ts";
import { alice, base64, bob, mallory, seedOf } from "../unit/control/trust-world.ts";
import { jsonOf, tidegate } from "./verbs-fixture.ts";

const policy = `
principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
  bob: { keys: ["${base64(bob)}"], roles: [operator] }
rules:
  - { allow: [config.set, config.reset], roles: [operator] }
  - { allow: [config.guarded], roles: [operator], require: { signers: 2 } }
egress: { env: results }
`;
const own = "tidegate/v1/test/gateways/gw-1/";

type Report = {
  applied: { version: number } | null;
  good: { version: number } | null;
  last: { version: number; outcome: string; reason?: string; errors?: { path: string }[] } | null;
  refused: { reason: string } | null;
};

async function openWorld(trialWindow = "1s") {
  const broker = await startMosquitto();
  atEnd(() => broker.stop());
  const heard = await Listener.connect(broker.url, "tidegate/v1/#");
  atEnd(() => heard.close());
  const client = await connectAsync(broker.url, { protocolVersion: 5 });
  atEnd(() => client.endAsync(true));
  const daemon = daemonAt(broker.url, { cloud: { url: broker.url }, policy: "policy.yaml", control: { trialWindow } });
  writeFileSync(join(daemon.dir, "policy.yaml"), policy);
  const keyFiles = [alice, bob, mallory].map((signer, at) => {
    const file = join(daemon.dir, `key-${at}`);
    writeFileSync(file, Buffer.from(seedOf(signer)).toString("base64"), { mode: 0o600 });
    return file;
  }) as [string, string, string];
  await daemon.start();
  let version = 0;
  const push = async (config: unknown, signers: Signer[] = [alice]) => {
    const head = { kind: "twin-desired", audience: "test/gw-1", version: ++version };
    const envelope = signDocument({ ...head, issuedAt: new Date().toISOString(), config }, signers);
    await client.publishAsync(`${own}twin/desired`, JSON.stringify(envelope), { qos: 1, retain: true });
    return envelope;
  };
  const republish = (envelope: unknown) =>
    client.publishAsync(`${own}twin/desired`, JSON.stringify(envelope), { qos: 1, retain: true });
  const report = () => heard.json<Report>(`${own}twin/reported`).at(-1);
  const file = join(daemon.dir, "tidegate.yaml");
  const verb = (...words: string[]) => tidegate(...words, "--config", file);
  const inForce = async (path: string) =>
    (jsonOf(await verb("config", "get", path, "--origin", "--json")) as Record<string, unknown>)[path];
  type Shown = { overlay: { streams?: { env: { alarm: { onAfter: number } } } } | null };
  const onAfter = async () => (await daemon.ask<Shown>("twin.show")).overlay?.streams?.env.alarm.onAfter;
  return { onAfter, broker, daemon, push, republish, report, verb, inForce, keyFiles };
}

/** While it starts anew it has no link to tell of. */
const backOnline = (daemon: ReturnType<typeof daemonAt>) =>
  daemon.eventually((status) => (status.site as { isOnline: boolean } | null)?.isOnline === true, "is back online");

describeReal("a configuration from afar", () => {
  it("is tried and kept; the next is refused by its keys, its policy or its faults; the glass can be broken", async () => {
    const { daemon, push, republish, report, verb, inForce } = await openWorld();
    const first = await push({ streams: { env: { alarm: { onAfter: 3 } } } });
    await expect.poll(() => report()?.last, { timeout: 15_000 }).toMatchObject({ version: 1, outcome: "committed" });
    expect(await inForce("streams.env.alarm.onAfter")).toEqual({ value: 3, origin: "remote" });
    expect(jsonOf(await verb("config", "diff", "--remote", "--json"))).toMatchObject({
      differences: [{ path: "streams.env.alarm.onAfter", from: 1, to: 3 }],
    });

    await push({ streams: { env: { topic: "elsewhere/#" } } });
    await expect.poll(() => report()?.last).toMatchObject({ version: 2, outcome: "refused" });
    expect(report()?.last?.errors).toEqual([expect.objectContaining({ path: "streams.env.topic" })]);
    await push({ streams: { env: { alarm: { onAfter: 0 }, publish: { when: "never" } } } });
    await expect.poll(() => report()?.last?.version).toBe(3);
    expect(report()?.last?.errors).toHaveLength(2);
    await push({ streams: { env: { uplink: "raw" } } });
    await expect.poll(() => report()?.last?.version).toBe(4);
    expect(report()?.last?.errors).toEqual([expect.objectContaining({ path: "streams.env.uplink" })]);
    await push({ sensors: { url: "mqtt://evil.example" } });
    await expect.poll(() => report()?.refused).toEqual({ reason: "too-few-signatures" });
    await push({ gateway: { logLevel: "debug" } }, [mallory]);
    await expect.poll(() => report()?.refused).toEqual({ reason: "unknown-key" });
    await republish(first);
    await expect.poll(() => report()?.refused).toEqual({ reason: "old-version" });
    expect(report()).toMatchObject({ applied: { version: 1 }, good: { version: 1 } });

    // Nothing of it is lost with a restart, and nothing taken twice.
    await daemon.kill();
    await daemon.start();
    expect(await inForce("streams.env.alarm.onAfter")).toEqual({ value: 3, origin: "remote" });
    expect(await verb("config", "reset-remote")).toMatchObject({ code: 0 });
    expect(await inForce("streams.env.alarm.onAfter")).toEqual({ value: 1, origin: "default" });
    await expect.poll(() => report()?.last).toMatchObject({ outcome: "reset", reason: "at the site" });
    await republish(first);
    expect(await inForce("streams.env.alarm.onAfter")).toEqual({ value: 1, origin: "default" });
  }, 120_000);

  it("goes back by itself when the gateway loses its broker, or does not start with it", async () => {
    const { daemon, push, report } = await openWorld("2s");
    await push({ sensors: { url: "mqtt://127.0.0.1:1" } }, [alice, bob]);
    const lost = { version: 1, outcome: "reverted", reason: "the site's broker is lost" };
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject(lost);
    await backOnline(daemon);
    await push({ sensors: { passwordFile: "not-there" } }, [bob, alice]);
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject({ version: 2, outcome: "reverted" });
    expect(report()?.last?.reason).toContain("not-there");
    await backOnline(daemon);
    await push({ policy: "not-there.yaml" }, [bob, alice]);
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject({ version: 3, outcome: "refused" });
    // Somebody at the site misspells it: the gateway that runs goes on with the policy that it has.
    writeFileSync(join(daemon.dir, "policy.yaml"), policy.replace("rules:", "rule:"));
    daemon.hangUp();
    await expect.poll(() => daemon.log.some(({ event }) => event.includes("the old one stays"))).toBe(true);
    expect((await daemon.status()).site.isOnline).toBe(true);
  }, 120_000);

  it("is given two starts when the gateway dies on trial, then goes back; never keeps it from starting", async () => {
    const { daemon, push, report, onAfter } = await openWorld("1h");
    const guarded = { streams: { env: { alarm: { onAfter: 7 } } }, sensors: { username: "u", passwordFile: "pw" } };
    await push(guarded, [alice, bob]);
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject({ version: 1, outcome: "reverted" });
    writeFileSync(join(daemon.dir, "pw"), "secret\n");
    await push(guarded, [alice, bob]);
    await expect.poll(() => report()?.applied, { timeout: 20_000 }).toMatchObject({ version: 2 });
    await daemon.kill();
    await daemon.start({ isConnected: false });
    expect(await onAfter()).toBe(7);
    await daemon.kill();
    await daemon.start();
    const given = { version: 2, outcome: "reverted", reason: "it did not survive 2 starts" };
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject(given);
    expect(await onAfter()).toBeUndefined();

    await push(guarded, [alice, bob]);
    await expect.poll(() => report()?.applied, { timeout: 20_000 }).toMatchObject({ version: 3 });
    await daemon.kill();
    // With it the gateway would leave with 77.
    rmSync(join(daemon.dir, "pw"));
    await daemon.start();
    await expect.poll(() => report()?.last, { timeout: 20_000 }).toMatchObject({ version: 3, outcome: "reverted" });
    expect(report()?.last?.reason).toContain("pw");
  }, 120_000);

  it("is pushed, dry or not, by an operator's verb", async () => {
    const { verb, daemon, keyFiles } = await openWorld();
    const good = join(daemon.dir, "good.yaml");
    writeFileSync(good, "streams: { env: { publish: { when: change } } }\n");
    const bad = join(daemon.dir, "bad.yaml");
    writeFileSync(bad, "streams: { env: { publish: { when: sometimes } } }\n");
    const push = (overlay: string, ...more: string[]) =>
      verb("config", "push", overlay, "--to", "gw-1", "--key", keyFiles[0], "--json", "--wait", "20s", ...more);
    expect(jsonOf(await push(bad, "--dry-run"))).toEqual([
      { gateway: "gw-1", outcome: "faults", errors: [expect.objectContaining({ path: "streams.env.publish.when" })] },
    ]);
    expect(jsonOf(await push(good, "--dry-run"))).toEqual([{ gateway: "gw-1", outcome: "fits", errors: [] }]);
    const pushed = await push(good);
    expect(pushed).toMatchObject({ code: 0 });
    expect(jsonOf(pushed)).toEqual([{ gateway: "gw-1", outcome: "committed" }]);
    const refused = await push(bad);
    expect(refused.code).toBe(1);
    expect(jsonOf(refused)).toMatchObject([{ outcome: "refused", reason: "it has faults" }]);
    const stranger = await verb(
      "config",
      "push",
      good,
      "--to",
      "gw-1",
      "--key",
      keyFiles[2],
      "--json",
      "--wait",
      "20s",
    );
    expect(jsonOf(stranger)).toEqual([{ gateway: "gw-1", outcome: "refused", reason: "unknown-key" }]);
    expect(await verb("audit", "verify")).toMatchObject({ code: 0 });
  }, 120_000);
});
