import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { writeBundle } from "../support/model-bundle.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener } from "../support/publisher.ts";
import { emptyFolder } from "../support/started-host.ts";
import { jsonOf, tidegate } from "./verbs-fixture.ts";

const own = "tidegate/v1/test/gateways/gw-1/";

type Status = { state: string; models?: Record<string, { version: number; state: string; reason: string }> };

/** A daemon whose model may be changed by the holder of one key. */
async function openWorld() {
  const broker = await startMosquitto();
  atEnd(() => broker.stop());
  const heard = await Listener.connect(broker.url, `${own}status`);
  atEnd(() => heard.close());
  const ops = emptyFolder();
  const { signer } = openKeyRing({ dataDir: ops });
  const models = emptyFolder();
  writeBundle(models, { version: 1 });
  const daemon = daemonAt(broker.url, {
    cloud: { url: broker.url },
    policy: "policy.yaml",
    models: { dir: models, updates: { trialWindows: 4, trialTime: "1s", watch: "2s" } },
    streams: {
      env: {
        topic: "s/{sensor}",
        codec: "json",
        fields: { a: "a", b: "b" },
        window: { size: 4 },
        model: "sum",
        normalize: "none",
      },
    },
  });
  const key = Buffer.from(signer.publicKey).toString("base64");
  const policy = `principals: { ops: { keys: ["${key}"], roles: [publisher] } }
rules: [{ allow: [model.push, model.rollback], roles: [publisher] }]
`;
  mkdirSync(daemon.dir, { recursive: true });
  writeFileSync(join(daemon.dir, "policy.yaml"), policy);
  await daemon.start();
  const release = () => heard.json<Status>(`${own}status`).at(-1)?.models?.sum;
  const push = (...words: string[]) => tidegate("model", ...words, "--broker", broker.url, "--fleet", "test", "--json");
  return { daemon, release, push, key: join(ops, "keys", "signing.key") };
}

describeReal("tidegate model push and rollback", () => {
  it("bring a version to a running gateway, and the one before back", async () => {
    const { release, push, key } = await openWorld();
    const next = writeBundle(emptyFolder(), { version: 2, factor: 2 });
    const pushed = await push("push", `${next}/`, "--key", key);
    expect(pushed).toMatchObject({ code: 0 });
    expect(JSON.parse(pushed.out)).toMatchObject({ model: "sum", version: 2, manifest: 1 });
    await expect.poll(release, { timeout: 20_000 }).toMatchObject({ version: 2, state: "active" });

    const stranger = emptyFolder();
    openKeyRing({ dataDir: stranger });
    const third = writeBundle(emptyFolder(), { version: 3, factor: 3 });
    await push("push", `${third}/`, "--key", join(stranger, "keys", "signing.key"));
    const first = writeBundle(emptyFolder(), { version: 1 });
    expect(await push("rollback", `${first}/`, "--key", key)).toMatchObject({ code: 0 });
    await expect.poll(release, { timeout: 20_000 }).toMatchObject({ version: 1, state: "active" });
  }, 90_000);

  it("leave it to a signed command to undo a version here, and not to have it again by itself", async () => {
    const { daemon, release, push, key } = await openWorld();
    const next = writeBundle(emptyFolder(), { version: 2, factor: 2 });
    await push("push", `${next}/`, "--key", key);
    await expect.poll(release, { timeout: 20_000 }).toMatchObject({ version: 2, state: "active" });
    const rollBack = (model: string) => {
      const words = ["fleet", "command", "gw-1", "model.rollback", "--param", `model=${model}`, "--key", key, "--json"];
      return tidegate(...words, "--wait", "15s", "--config", join(daemon.dir, "tidegate.yaml"));
    };
    const undone = await rollBack("sum");
    expect(undone).toMatchObject({ code: 0 });
    expect(jsonOf(undone)).toMatchObject({ status: "successful", result: { from: 2, to: 1 } });
    const rolledBack = { version: 2, state: "rolled-back", reason: "by command" };
    await expect.poll(release).toMatchObject(rolledBack);
    expect(jsonOf(await rollBack("other"))).toMatchObject({ status: "failed", reason: "USAGE" });
    // The broker offers it again with every connection.
    await daemon.kill();
    await daemon.start();
    await daemon.eventually(({ cloud }) => cloud?.isOnline === true, "is at the cloud's broker");
    await expect.poll(release, { timeout: 10_000 }).toMatchObject(rolledBack);
    const { models } = await daemon.ask<{ models: { name: string; version: number }[] }>("status");
    expect(models).toEqual([expect.objectContaining({ name: "sum", version: 1 })]);
  }, 90_000);

  it("say what is missing: a key, a broker, the right to publish", async () => {
    const next = writeBundle(emptyFolder(), { version: 2 });
    expect(await tidegate("model", "push", `${next}/`)).toMatchObject({
      code: 64,
      err: expect.stringContaining("--key"),
    });
    const ops = emptyFolder();
    openKeyRing({ dataDir: ops });
    const key = join(ops, "keys", "signing.key");
    const away = await tidegate(
      "model",
      "push",
      `${next}/`,
      "--key",
      key,
      "--broker",
      "mqtt://127.0.0.1:1",
      "--fleet",
      "t",
    );
    expect(away.code).toBe(69);
  });
});
