import { join } from "node:path";
import { expect, it } from "vitest";
import { vectorOfBytes } from "../../src/coordinator/bundle-weights.ts";
import { SqliteCoordinatorStore } from "../../src/coordinator/sqlite-store.ts";
import { layLine, openSite } from "../support/daemon-site.ts";
import {
  type Fleet,
  feed,
  historyOf,
  joinFleet,
  model,
  openFleet,
  publishes,
  standing,
  start,
  told,
} from "../support/learning-fleet.ts";
import { describeReal } from "../support/mosquitto.ts";

/** What the coordinator has written down; it is ended for that. */
async function storeOf(fleet: Fleet): Promise<SqliteCoordinatorStore> {
  await fleet.coordinator.stop();
  return new SqliteCoordinatorStore(join(fleet.coordinator.dataDir, "coordinator.db"));
}

describeReal("rounds of other modes", () => {
  it("round 0 measures the fleet's normalisation, and the weights are learned with it", async () => {
    const fit = ["mean", "std"].map((statistic) => ({ tensor: statistic, statistic, of: "window" }));
    const fleet = await openFleet({ normalization: { window: { low: -4, high: 12 } } }, { fit });
    const site = await openSite();
    await joinFleet(fleet, site, "gw-1", 0, {}, fleet.cloud.url, 5);
    await joinFleet(fleet, site, "gw-2", 2, {}, fleet.cloud.url, 3);
    await start(fleet, 3);
    await publishes(fleet, 3);
    const rounds = await historyOf(fleet);
    expect(rounds.map(({ round, accepted, mode }) => [round, accepted, mode])).toEqual([
      [0, 2, "statistics"],
      [1, 2, "weights"],
      [2, 2, "weights"],
      [3, 2, "weights"],
    ]);
    const store = await storeOf(fleet);
    const [first, second] = [await store.version(model, 1), await store.version(model, 2)];
    // Waves of +-1 and 0.1 about 5 on the one gateway, about 3 on the other: their mean, and what lies between them, too.
    expect(second?.tensors.mean?.[0]).toBeCloseTo(4, 1);
    expect(second?.tensors.std?.[0]).toBeCloseTo(Math.sqrt(1 + 0.5 + 0.005), 1);
    expect(second?.hash).toBe(first?.hash);
    expect((await store.version(model))?.tensors).toEqual(second?.tensors);
    await store.close();
    expect(rounds[3]?.metrics.loss).toBeLessThan(0.8 * (rounds[1]?.metrics.loss ?? 0));
  }, 240_000);

  it("gradients are those of readings that no update was made of yet", async () => {
    const fleet = await openFleet({
      mode: "gradients",
      strategy: "fedavg",
      training: { learningRate: 0.1, batch: 64 },
    });
    const site = await openSite();
    const one = await joinFleet(fleet, site, "gw-1", 0);
    const two = await joinFleet(fleet, site, "gw-2", 2);
    await start(fleet, 2);
    await publishes(fleet, 1);
    // Everything that there was is in the first round.
    const waits = (daemon: typeof one) =>
      daemon.eventually(
        (status) => {
          const { round, state, reason = "" } = standing(status) ?? { round: 0, state: "closed" };
          return round === 2 && state === "waiting" && /new readings/.test(reason);
        },
        "waits for new readings",
        60_000,
      );
    await waits(one);
    await waits(two);
    await feed(site, "gw-1", 0, 1_500, 1_900);
    await told(one, "accepted");
    expect(standing(await two.status())?.state).toBe("waiting");
    await feed(site, "gw-2", 2, 1_500, 1_900);
    await publishes(fleet, 2);
    const rounds = await historyOf(fleet);
    expect(rounds.map(({ accepted, mode }) => [accepted, mode])).toEqual([
      [2, "gradients"],
      [2, "gradients"],
    ]);
    expect(rounds[1]?.metrics.loss).toBeLessThan(rounds[0]?.metrics.loss ?? 0);
  }, 240_000);

  it("a fleet that is led back to an older version begins there, without what was held back since", async () => {
    const fleet = await openFleet({
      codec: { codec: "plain", support: "listed", share: 0.25 },
      quorum: { min: 1, target: 1 },
    });
    const site = await openSite();
    await joinFleet(fleet, site, "gw-1", 0);
    await start(fleet, 2);
    await publishes(fleet, 2);
    await fleet.coordinator.ask("fleet.rounds.start", { model, rounds: 2, from: 1 });
    await publishes(fleet, 4);
    const gone = fleet.coordinator.ask("fleet.rounds.start", { model, rounds: 1, from: 99 });
    await expect(gone).rejects.toMatchObject({ code: "ROUND_ABSENT" });
    const store = await storeOf(fleet);
    const line = await Promise.all([1, 2, 3, 4, 5, 6].map((version) => store.version(model, version)));
    await store.close();
    const [first, second, third, ...anew] = line.map((version) => version?.hash);
    // The same readings and the same weights to begin with: whatever a gateway had carried over would show.
    expect(anew).toEqual([first, second, third]);
    const roots = line.map((version) => version?.root);
    expect(new Set(roots).size).toBe(2);
    expect(roots[3]).not.toBe(roots[2]);
  }, 240_000);

  it("an update that was trained two rounds ago counts for less, once", async () => {
    const fleet = await openFleet({ strategy: "fedbuff", maxStaleness: 3, quorum: { min: 1, target: 1 } });
    const site = await openSite();
    const line = await layLine(fleet.cloud.port);
    const slow = await joinFleet(fleet, site, "gw-2", 2, {}, line.url);
    const quick = await joinFleet(fleet, site, "gw-1", 0);
    // It hears of the round, and nothing that it says gets through.
    line.hold(true);
    await start(fleet, 2);
    await told(slow, "sending");
    await publishes(fleet, 2);
    await quick.kill();
    await start(fleet, 1);
    await fleet.coordinator.until(({ models }) => models[0]?.round === 3, "has opened round 3");
    line.cut();
    line.hold(false);
    await publishes(fleet, 3);
    // By the time it is asked it may have been told already that round 3 needs nothing more of it.
    await expect.poll(async () => standing(await slow.status())?.state, { timeout: 60_000 }).toMatch(/accepted|stale/);
    const store = await storeOf(fleet);
    const weights = async (version: number) =>
      vectorOfBytes((await store.version(model, version))?.weights ?? new Uint8Array());
    const [before, after] = [await weights(3), await weights(4)];
    const step = Math.hypot(...after.map((value, i) => value - (before[i] as number)));
    const round = await store.round(model);
    await store.close();
    expect(round).toMatchObject({ round: 3, accepted: 1 });
    // Trained in round 1: 1 / sqrt(1 + 2) of what it says.
    expect(step / (round?.metrics.norm ?? 0)).toBeCloseTo(1 / Math.sqrt(3), 3);
  }, 240_000);
});
