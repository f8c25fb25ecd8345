import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { afterEach, expect, it } from "vitest";
import { signLease } from "../../src/coordinator/lease.ts";
import { ephemeralKeyRing, openKeyRing } from "../../src/crypto/key-ring.ts";
import { signDocument } from "../../src/crypto/signed-document.ts";
import { fleetTopics } from "../../src/wire/topics.ts";
import { bundleOf, type CoordinatorConfig, CoordinatorProcess } from "../support/coordinator-process.ts";
import { until } from "../support/links.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { roundOf } from "../support/rounds.ts";
import { TestGateway } from "../support/test-gateway.ts";

const model = "mote-anomaly";
/** A coordinator is started up to five times, and leases run out in between. */
const manyStartsMs = 90_000;
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const configOf = (broker: Mosquitto, peers: readonly string[] = []): CoordinatorConfig => ({
  broker: broker.url,
  peers,
  models: { [model]: { bundle: bundleOf(model), quorum: { min: 1, target: 1 } } },
});

async function startBroker(): Promise<Mosquitto> {
  const broker = await startMosquitto();
  stops.push(() => broker.stop());
  return broker;
}

function coordinatorOf(broker: Mosquitto, dataDir?: string): CoordinatorProcess {
  const coordinator = new CoordinatorProcess(configOf(broker), dataDir);
  stops.push(() => coordinator.remove());
  return coordinator;
}

const publicKeyOf = (dataDir: string): string =>
  Buffer.from(openKeyRing({ dataDir }).signer.publicKey).toString("base64");

async function gatewayOf(broker: Mosquitto, coordinator: CoordinatorProcess): Promise<TestGateway> {
  const gateway = new TestGateway({ id: "gw-1", url: broker.url, model, trusted: [coordinator.publicKey] });
  stops.push(() => gateway.stop());
  const key = Buffer.from(gateway.keys.signer.publicKey).toString("base64");
  await coordinator.ask("fleet.enroll", { gateway: "gw-1", key });
  await gateway.start();
  return gateway;
}

const published = (round: number) => (status: Awaited<ReturnType<CoordinatorProcess["status"]>>) =>
  status.models[0]?.round === round && status.models[0].state === "published";

describeReal("two coordinators on one fleet", () => {
  it(
    "the second stands by, neither disturbs the other, and it says why it does not lead another's rounds",
    async () => {
      const broker = await startBroker();
      const [first, second] = [coordinatorOf(broker), coordinatorOf(broker)];
      const [firstKey, secondKey] = [first, second].map(({ dataDir }) => publicKeyOf(dataDir));
      first.configure(configOf(broker, [secondKey ?? ""]));
      second.configure(configOf(broker, [firstKey ?? ""]));
      await first.start();
      await gatewayOf(broker, first);
      await first.ask("fleet.rounds.start", { rounds: 1 });
      await first.until(published(1), "has published round 1");
      await second.start("standby");
      // Several leases long nothing changes hands.
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(await second.status()).toMatchObject({ role: "standby", leader: (await first.status()).instance });
      expect(await first.status()).toMatchObject({ role: "leading", epoch: 1 });
      await first.ask("fleet.rounds.start", { rounds: 1 });
      await first.until(published(2), "has published round 2");
      expect(first.text).not.toContain("connection to the broker lost");
      // The first one goes: the rounds that the fleet has seen are not in the second one's data.
      await first.kill();
      const status = await second.until(({ role }) => role === "behind", "has seen that it is behind");
      expect(status.reason).toContain("the fleet has seen");
      expect(second.text).toContain("--take-over");
    },
    manyStartsMs,
  );

  it(
    "one on a copy of the other's data stands by, too: they do not push each other off the broker",
    async () => {
      const broker = await startBroker();
      const first = coordinatorOf(broker);
      await first.start();
      await gatewayOf(broker, first);
      const copy = mkdtempSync(join(tmpdir(), "tidegate-copy-"));
      stops.push(() => rmSync(copy, { recursive: true, force: true }));
      cpSync(first.dataDir, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
      const second = coordinatorOf(broker, copy);
      await second.start("standby");
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect([(await first.status()).role, (await second.status()).role]).toEqual(["leading", "standby"]);
      expect(`${first.text}${second.text}`).not.toContain("CLIENT_ID_TAKEN");
    },
    manyStartsMs,
  );
});

describeReal("a stranger who may write where coordinators write", () => {
  it(
    "stops none from leading, neither before nor after it leads; the log tells of it",
    async () => {
      const broker = await startBroker();
      const { signer } = ephemeralKeyRing();
      const stranger = await connectAsync(broker.url);
      stops.push(() => stranger.endAsync(true));
      const { lease, round } = fleetTopics("demo");
      let version = 2 ** 40;
      const say = async () => {
        const claim = { epoch: 1e9, instance: "f".repeat(16), isEnded: false };
        const { expires: _, ...told } = roundOf({ version: ++version, epoch: 1e8 });
        await stranger.publishAsync(lease, signLease("demo", version, claim, signer), { qos: 1, retain: true });
        const document = JSON.stringify(signDocument(told, [signer]));
        await stranger.publishAsync(round(model), document, { qos: 1, retain: true });
      };
      await say();
      const coordinator = coordinatorOf(broker);
      await coordinator.start();
      await gatewayOf(broker, coordinator);
      for (let beat = 0; beat < 5; beat++) await say();
      await coordinator.ask("fleet.rounds.start", { rounds: 1 });
      await coordinator.until(published(1), "has published round 1");
      expect(await coordinator.status()).toMatchObject({ role: "leading", epoch: 1 });
      expect(coordinator.text).toContain("whose key is not known here");
    },
    manyStartsMs,
  );
});

describeReal("a coordinator that was restored from an old backup", () => {
  it(
    "notices, leads nobody, and says what to do; its fleet goes on only when it is told to",
    async () => {
      const broker = await startBroker();
      const coordinator = coordinatorOf(broker);
      await coordinator.start();
      const gateway = await gatewayOf(broker, coordinator);
      await coordinator.ask("fleet.rounds.start", { rounds: 1 });
      await coordinator.until(published(1), "has published round 1");
      await coordinator.stop();
      const backup = mkdtempSync(join(tmpdir(), "tidegate-backup-"));
      stops.push(() => rmSync(backup, { recursive: true, force: true }));
      cpSync(coordinator.dataDir, backup, { recursive: true });

      await coordinator.start();
      await coordinator.ask("fleet.rounds.start", { rounds: 2 });
      await coordinator.until(published(3), "has published round 3");
      await coordinator.stop();
      await until(() => gateway.round?.state === "closed" && gateway.round.round === 3, "the end of round 3");
      const seen = gateway.rounds.length;

      const restored = coordinatorOf(broker, backup);
      const status = await restored.start("behind");
      expect(status.reason).toContain("the data here end with");
      expect(restored.text).toContain("COORDINATOR_BEHIND");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect(gateway.rounds.length).toBe(seen);
      await restored.stop();

      await restored.start("leading", ["--take-over"]);
      await restored.ask("fleet.rounds.start", { rounds: 1 });
      await restored.until(published(2), "has published round 2 anew");
      expect(gateway.round?.epoch).toBeGreaterThan(2);
    },
    manyStartsMs,
  );
});
