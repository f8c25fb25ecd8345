import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import type { RoundStanding } from "../../src/federated/client/model-rounds.ts";
import { CoordinatorProcess } from "./coordinator-process.ts";
import type { Daemon } from "./daemon.ts";
import { atEnd, daemonAt, type Site } from "./daemon-site.ts";
import { startMosquitto } from "./mosquitto.ts";
import { writeSeriesBundle } from "./series.ts";
import { emptyFolder } from "./started-host.ts";

export const model = "series";
export const tank = {
  topic: "tanks/{tank}",
  fields: { level: { path: "level", unit: "m" } },
  timestamp: "ts",
  model,
  publish: { when: "change" },
};

type Standings = { rounds: Record<string, RoundStanding> };
export const standing = (status: unknown): RoundStanding | undefined => (status as Standings).rounds[model];

/** A fleet: a coordinator, and a folder of models that all of it has. */
export async function openFleet(settings: object = {}, card: Record<string, unknown> = {}) {
  const cloud = await startMosquitto();
  atEnd(() => cloud.stop());
  const models = emptyFolder();
  mkdirSync(models, { recursive: true });
  const bundle = await writeSeriesBundle(models, card);
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
export type Fleet = Awaited<ReturnType<typeof openFleet>>;

/** Readings of a gateway's tank, one each second. */
export async function feed(
  site: Site,
  id: string,
  phase: number,
  from: number,
  until: number,
  middle = 0,
): Promise<void> {
  for (let i = from; i < until; i++) {
    const level = middle + Math.sin(i / 9 + phase) + 0.1 * Math.sin(i * 1.7);
    await site.sensors.raw(`${id}/a`, JSON.stringify({ ts: 1_700_000_000_000 + i * 1_000, level }));
  }
}

/** A gateway of the fleet with readings of its own. @param phase  where its wave begins */
export async function joinFleet(
  fleet: Fleet,
  site: Site,
  id: string,
  phase: number,
  differing: object = {},
  url = fleet.cloud.url,
  middle = 0,
) {
  const policy = join(emptyFolder(), "policy.yaml");
  mkdirSync(join(policy, ".."), { recursive: true });
  const key = Buffer.from(fleet.coordinator.publicKey).toString("base64");
  writeFileSync(
    policy,
    `principals: { cloud: { keys: ["${key}"], roles: [coordinator] } }\nrules: [{ allow: [round.start, model.push, model.rollback], roles: [coordinator] }]\n`,
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
  await feed(site, id, phase, 0, 1_500, middle);
  await daemon.eventually(({ streams }) => streams.tank?.stored === 1_500, "stored all readings");
  const { signer } = openKeyRing({ dataDir: daemon.dataDir });
  await fleet.coordinator.ask("fleet.enroll", { gateway: id, key: Buffer.from(signer.publicKey).toString("base64") });
  return daemon;
}

const roundIs =
  (round: number, state: string) => (status: { models: readonly { round: number | null; state: string | null }[] }) =>
    status.models[0]?.round === round && status.models[0].state === state;
export const publishes = (fleet: Fleet, round: number) =>
  fleet.coordinator.until(roundIs(round, "published"), `has published round ${round}`, 120_000);
export const start = (fleet: Fleet, rounds: number) => fleet.coordinator.ask("fleet.rounds.start", { model, rounds });
type Round = { round: number; accepted: number; mode: string; metrics: { loss?: number } };
export const historyOf = async (fleet: Fleet) =>
  (await fleet.coordinator.ask<{ rounds: Round[] }>("fleet.rounds.history", { model, limit: 10 })).rounds.sort(
    (a, b) => a.round - b.round,
  );
export const told = (daemon: Daemon, state: string) =>
  daemon.eventually((status) => standing(status)?.state === state, `says ${state}`, 120_000);
