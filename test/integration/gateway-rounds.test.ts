import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import type { RoundStanding } from "../../src/federated/client/model-rounds.ts";
import { CoordinatorProcess } from "../support/coordinator-process.ts";
import type { Daemon } from "../support/daemon.ts";
import { atEnd, daemonAt, layLine, openSite, type Site } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { writeSeriesBundle } from "../support/series.ts";
import { emptyFolder } from "../support/started-host.ts";

const model = "series";
const tank = {
  topic: "tanks/{tank}",
  fields: { level: { path: "level", unit: "m" } },
  timestamp: "ts",
  model,
  publish: { when: "change" },
};

type Standings = { rounds: Record<string, RoundStanding> };
const standing = (status: unknown): RoundStanding | undefined => (status as Standings).rounds[model];

/** A fleet: a coordinator, and a folder of models that all of it has. */
async function openFleet(settings: object = {}) {
  const cloud = await startMosquitto();
  atEnd(() => cloud.stop());
  const models = emptyFolder();
  mkdirSync(models, { recursive: true });
  const bundle = await writeSeriesBundle(models);
  const coordinator = new CoordinatorProcess({
    fleet: "test",
    broker: cloud.url,
    models: {
      [model]: {
        bundle,
        training: { epochs: 2, batch: 32, learningRate: 0.02, optimizer: { kind: "sgd", momentum: 0.9 } },
        quorum: { min: 2, target: 2 },
        ...settings,
      },
    },
  });
  atEnd(() => coordinator.remove());
  await coordinator.start();
  return { cloud, models, coordinator };
}
type Fleet = Awaited<ReturnType<typeof openFleet>>;

/** A gateway of the fleet with readings of its own. @param phase  where its wave begins */
async function joinFleet(
  fleet: Fleet,
  site: Site,
  id: string,
  phase: number,
  differing: object = {},
  url = fleet.cloud.url,
) {
  const policy = join(emptyFolder(), "policy.yaml");
  mkdirSync(join(policy, ".."), { recursive: true });
  const key = Buffer.from(fleet.coordinator.publicKey).toString("base64");
  writeFileSync(
    policy,
    `principals: { cloud: { keys: ["${key}"], roles: [coordinator] } }\nrules: [{ allow: [round.start], roles: [coordinator] }]\n`,
  );
  const daemon = daemonAt(site.broker.url, {
    gateway: { id },
    streams: { tank: { ...tank, topic: `${id}/{tank}` } },
    models: { dir: fleet.models },
    cloud: { url, maxPayload: "4KiB" },
    policy,
    federation: { models: [model] },
    training: { minMemory: "1MiB", maxLoad: 100, minReadings: 500, enabled: false },
    ...differing,
  });
  await daemon.start();
  for (let i = 0; i < 1_500; i++) {
    const level = Math.sin(i / 9 + phase) + 0.1 * Math.sin(i * 1.7);
    await site.sensors.raw(`${id}/a`, JSON.stringify({ ts: 1_700_000_000_000 + i * 1_000, level }));
  }
  await daemon.eventually(({ streams }) => streams.tank?.stored === 1_500, "stored all readings");
  const { signer } = openKeyRing({ dataDir: daemon.dataDir });
  await fleet.coordinator.ask("fleet.enroll", { gateway: id, key: Buffer.from(signer.publicKey).toString("base64") });
  return daemon;
}

const roundIs =
  (round: number, state: string) => (status: { models: readonly { round: number | null; state: string | null }[] }) =>
    status.models[0]?.round === round && status.models[0].state === state;
const publishes = (fleet: Fleet, round: number) =>
  fleet.coordinator.until(roundIs(round, "published"), `has published round ${round}`, 120_000);
const start = (fleet: Fleet, rounds: number) => fleet.coordinator.ask("fleet.rounds.start", { model, rounds });
type Round = { round: number; accepted: number; metrics: { loss?: number } };
const historyOf = async (fleet: Fleet) =>
  (await fleet.coordinator.ask<{ rounds: Round[] }>("fleet.rounds.history", { model, limit: 10 })).rounds.sort(
    (a, b) => a.round - b.round,
  );
const told = (daemon: Daemon, state: string) =>
  daemon.eventually((status) => standing(status)?.state === state, `says ${state}`, 120_000);

describeReal("gateways that learn with their fleet", () => {
  it("learn one model over rounds, with what was held back; readings stay where they are", async () => {
    const fleet = await openFleet({ codec: { codec: "quantized", bits: 8, support: "listed", share: 0.25 } });
    const site = await openSite();
    await joinFleet(fleet, site, "gw-1", 0);
    const other = await joinFleet(fleet, site, "gw-2", 2);
    await start(fleet, 4);
    await publishes(fleet, 4);
    const rounds = await historyOf(fleet);
    expect(rounds.map(({ round, accepted }) => [round, accepted])).toEqual([1, 2, 3, 4].map((n) => [n, 2]));
    const losses = rounds.map(({ metrics }) => metrics.loss ?? Number.NaN);
    expect(losses[3]).toBeLessThan(0.6 * (losses[0] ?? 0));
    await told(other, "accepted");
    expect(readFileSync(join(other.dataDir, "state.db")).includes('"residual"')).toBe(false);
  }, 240_000);

  it("a gateway that is killed while it sends goes on with the same update, which counts once", async () => {
    const fleet = await openFleet();
    const site = await openSite();
    await joinFleet(fleet, site, "gw-1", 0);
    const line = await layLine(fleet.cloud.port);
    const killed = await joinFleet(fleet, site, "gw-2", 2, {}, line.url);
    await start(fleet, 1);
    await told(killed, "training");
    // From here on nothing that it says gets through.
    line.hold(true);
    await told(killed, "sending");
    await killed.kill();
    line.cut();
    line.hold(false);
    const before = killed.log.length;
    await killed.start();
    await told(killed, "accepted");
    await publishes(fleet, 1);
    expect((await historyOf(fleet)).map(({ accepted }) => accepted)).toEqual([2]);
    // It was not trained again.
    expect(killed.log.slice(before).filter(({ event }) => /training/.test(event))).toEqual([]);
    // A life later it knows that the round is done.
    await killed.kill();
    await killed.start();
    await new Promise((done) => setTimeout(done, 1_000));
    expect(standing(await killed.status())?.state).not.toBe("training");
    expect((await historyOf(fleet)).map(({ accepted }) => accepted)).toEqual([2]);
  }, 240_000);

  it("a gateway whose units are others declines and says why; one without a policy hears nothing", async () => {
    const fleet = await openFleet({ quorum: { min: 1, target: 1 } });
    const site = await openSite();
    const feet = { tank: { ...tank, topic: "gw-3/{tank}", fields: { level: { path: "level", unit: "ft" } } } };
    const declining = await joinFleet(fleet, site, "gw-3", 0, { streams: feet });
    const deaf = await joinFleet(fleet, site, "gw-4", 0, { policy: undefined });
    await start(fleet, 1);
    const status = await told(declining, "declined");
    expect(standing(status)?.reason).toMatch(/level in ft; series takes m/);
    expect(standing(await deaf.status())).toBeUndefined();
    expect((await fleet.coordinator.status()).models[0]?.state).not.toBe("published");
  }, 240_000);
});
