/**
 * Kills the coordinator (SIGKILL) again and again while a fleet learns, and compares with a fleet that nobody disturbed.
 *
 * Invariant, whatever the moments of the kills:
 *   - every round has each gateway's update exactly once, and an update that had its receipt is never asked for again;
 *   - every version has the same hash as in the undisturbed run: the same bytes.
 *
 * Real mosquitto, real processes. The gateways' updates follow from their id, the base and the round alone. Half of the
 * kills come at any moment, start included, half as soon as an update has been accepted.
 *
 * CRASH_KILLS: how many kills (12); CRASH_SEED: of a run that is to be repeated.
 */
import { afterEach, expect, it } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { bundleOf, CoordinatorProcess } from "../support/coordinator-process.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { TestGateway } from "../support/test-gateway.ts";

const model = "mote-anomaly";
const kills = Number(process.env.CRASH_KILLS ?? 12);
const seed = Number(process.env.CRASH_SEED ?? Date.now() % 2 ** 31);
const fleetSize = 5;
/** So many that they outlast the kills. */
const rounds = kills;

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Ran = {
  readonly hashes: readonly (string | undefined)[];
  readonly accepted: readonly number[];
  readonly kills: number;
};

async function run(
  disturb: ((coordinator: CoordinatorProcess, gateways: readonly TestGateway[]) => Promise<number>) | null,
): Promise<Ran> {
  const broker = await startMosquitto();
  stops.push(() => broker.stop());
  const coordinator = new CoordinatorProcess({
    broker: broker.url,
    lease: "300ms",
    models: {
      [model]: {
        bundle: bundleOf(model),
        strategy: "fedadam",
        codec: { codec: "quantized", support: "listed", share: 0.2 },
        downlink: { codec: "quantized", bits: 4, support: "listed", share: 0.1 },
        quorum: { min: fleetSize, target: fleetSize },
        deadline: "10m",
        training: { clip: 1 },
      },
    },
  });
  stops.push(() => coordinator.remove());
  await coordinator.start();
  const gateways = Array.from(
    { length: fleetSize },
    (_, i) =>
      new TestGateway({
        id: `gw-${i}`,
        url: broker.url,
        model,
        trusted: [coordinator.publicKey],
        maxPayload: 1_664,
        trainMs: 100 + 120 * i,
      }),
  );
  for (const gateway of gateways) {
    stops.push(() => gateway.stop());
    const key = Buffer.from(gateway.keys.signer.publicKey).toString("base64");
    await coordinator.ask("fleet.enroll", { gateway: gateway.id, key });
    await gateway.start();
  }
  await coordinator.ask("fleet.rounds.start", { rounds });
  const killed = disturb ? await disturb(coordinator, gateways) : 0;
  if (!coordinator.isRunning) await coordinator.start();
  await coordinator.until(
    ({ models }) => models[0]?.round === rounds && models[0].state === "published",
    "has ended",
    90_000,
  );
  type History = { rounds: { round: number; accepted: number; version: number }[] };
  const history = await coordinator.ask<History>("fleet.rounds.history", { limit: 100 });
  const hashOf = (version: number) => gateways[0]?.rounds.find(({ base }) => base.version === version)?.base.hash;
  const last = (await coordinator.status()).models[0]?.hash ?? undefined;
  return {
    hashes: [...history.rounds.map(({ round }) => hashOf(round)), last],
    accepted: history.rounds.map(({ accepted }) => accepted),
    kills: killed,
  };
}

describeReal("a coordinator that is killed", () => {
  it(
    `counts every update once and gives the same bytes over ${kills} kills (seed ${seed})`,
    async () => {
      const undisturbed = await run(null);
      const random = seededRandom(seed);
      const disturbed = await run(async (coordinator, gateways) => {
        let done = 0;
        while (done < kills && gateways[0]?.round?.state !== "closed") {
          if (!coordinator.isRunning) coordinator.spawn();
          const isAtUpdate = random() < 0.5;
          const before = gateways.reduce((sum, { receipts }) => sum + receipts.length, 0);
          const end = performance.now() + (isAtUpdate ? 2_500 : random() * 1_500);
          while (performance.now() < end) {
            if (isAtUpdate && gateways.reduce((sum, { receipts }) => sum + receipts.length, 0) > before) break;
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
          await coordinator.kill();
          done++;
        }
        return done;
      });
      expect(disturbed.kills).toBeGreaterThan(kills / 2);
      expect(disturbed.accepted).toEqual(Array.from({ length: rounds }, () => fleetSize));
      expect(undisturbed.accepted).toEqual(disturbed.accepted);
      expect(disturbed.hashes).toEqual(undisturbed.hashes);
      expect(new Set(undisturbed.hashes).size).toBe(rounds + 1);
    },
    120_000 + kills * 4_000,
  );
});
