import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isInShare } from "../../src/control/model-manifest.ts";
import { seedOf } from "../../src/coordinator/rollout-plan.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { tidegate } from "../support/command-line.ts";
import { CoordinatorProcess } from "../support/coordinator-process.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { writeBundle } from "../support/model-bundle.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/publisher.ts";
import { emptyFolder } from "../support/started-host.ts";

const stream = {
  topic: "s/{sensor}",
  codec: "json",
  fields: { a: "a", b: "b" },
  window: { size: 4 },
  model: "sum",
  normalize: "none",
};

/** A gateway with readings, whose policy lets the coordinator bring models. */
async function gatewayAt(broker: Mosquitto, id: string, shipped: string, coordinator: CoordinatorProcess) {
  const daemon = daemonAt(broker.url, {
    gateway: { id, fleet: "demo" },
    cloud: { url: broker.url },
    policy: "policy.yaml",
    models: { dir: shipped, updates: { trialWindows: 4, trialTime: "1s", watch: "1s" } },
    streams: { env: stream },
  });
  mkdirSync(daemon.dir, { recursive: true });
  const key = Buffer.from(coordinator.publicKey).toString("base64");
  const policy = `principals: { cloud: { keys: ["${key}"], roles: [coordinator] } }
rules: [{ allow: [model.push, model.rollback], roles: [coordinator] }]
`;
  writeFileSync(join(daemon.dir, "policy.yaml"), policy);
  await daemon.start();
  const own = openKeyRing({ dataDir: daemon.dataDir }).signer.publicKey;
  await coordinator.ask("fleet.enroll", { gateway: id, key: Buffer.from(own).toString("base64") });
  const version = async () => {
    const { models } = await daemon.ask<{ models: { name: string; version: number }[] }>("status");
    return models.find(({ name }) => name === "sum")?.version;
  };
  return { daemon, version };
}

describeReal("a rollout over a fleet", () => {
  it("goes from canary to all, and is halted when the canary refuses the next version", async () => {
    const broker = await startMosquitto();
    atEnd(() => broker.stop());
    const shipped = emptyFolder();
    writeBundle(shipped, { version: 1 });
    const good = writeBundle(emptyFolder(), { version: 2, factor: 2 });
    const bad = writeBundle(emptyFolder(), { version: 3, factor: 1_000 });
    const coordinator = new CoordinatorProcess({ broker: broker.url });
    atEnd(() => coordinator.remove());
    await coordinator.start();

    const stages = "0.5,1";
    const seeds = await Promise.all(
      [good, bad].map(async (dir) => seedOf({ model: "sum", hash: (await openBundle(dir)).hash })),
    );
    const inCanary = (id: string) => seeds.map((seed) => isInShare(id, { share: 0.5, seed }));
    const ids = Array.from({ length: 100 }, (_, at) => `gw-${at}`);
    const canary = ids.find((id) => inCanary(id).every(Boolean)) ?? "";
    const other = ids.find((id) => !inCanary(id).some(Boolean)) ?? "";
    const first = await gatewayAt(broker, canary, shipped, coordinator);
    const second = await gatewayAt(broker, other, shipped, coordinator);

    const sensors = await Publisher.connect(broker.url);
    atEnd(() => sensors.close());
    const timer = setInterval(() => void sensors.raw("s/one", JSON.stringify({ a: 1, b: 1 })), 20);
    atEnd(() => clearInterval(timer));

    const start = (dir: string) =>
      tidegate([
        "fleet",
        "rollout",
        "start",
        dir,
        "--stages",
        stages,
        "--wait",
        "100ms",
        "--min-reports",
        "2",
        "--config",
        coordinator.file,
      ]);
    expect(await start(good)).toMatchObject({ code: 0 });
    const done = await coordinator.until(
      ({ rollouts }) => rollouts[0]?.state === "done",
      "has rolled out version 2",
      60_000,
    );
    expect(done.rollouts[0]?.tally).toMatchObject({ active: 2, failed: 0 });
    expect([await first.version(), await second.version()]).toEqual([2, 2]);

    expect(await start(bad)).toMatchObject({ code: 0 });
    const halted = await coordinator.until(
      ({ rollouts }) => rollouts[0]?.state === "halted",
      "has halted version 3",
      60_000,
    );
    expect(halted.rollouts[0]?.reason).toMatch(/1 of 1 gateways .*alarms on \d+ of \d+ live windows/);
    expect([await first.version(), await second.version()]).toEqual([2, 2]);
    const screen = await tidegate(["fleet", "status", "--config", coordinator.file]);
    expect(screen.out).toMatch(/sum +3 +1 of 2 +50 % +halted/);

    // What was halted stays so over a restart of the coordinator.
    await coordinator.kill();
    const again = await coordinator.start();
    expect(again.rollouts[0]).toMatchObject({ state: "halted", version: 3 });
  }, 180_000);
});
