import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Daemon } from "../support/daemon.ts";
import { layLine, openSite } from "../support/daemon-site.ts";
import {
  historyOf,
  joinFleet,
  model,
  openFleet,
  publishes,
  standing,
  start,
  tank,
  told,
} from "../support/learning-fleet.ts";
import { describeReal } from "../support/mosquitto.ts";

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

  it("fetch new versions as what changed, and those that were away make up for all they have missed", async () => {
    const fleet = await openFleet({
      downlink: { codec: "quantized", bits: 8, support: "listed", share: 0.5 },
      quorum: { min: 1, target: 1 },
    });
    const site = await openSite();
    const steady = await joinFleet(fleet, site, "gw-1", 0);
    const away = await joinFleet(fleet, site, "gw-2", 2);
    await away.kill();
    await start(fleet, 4);
    await publishes(fleet, 4);
    await told(steady, "accepted");
    const kinds = (daemon: Daemon) =>
      daemon.log.flatMap(({ event, kind }) => (/base is here/.test(event) ? [kind] : []));
    expect(kinds(steady)).toEqual(["change", "change", "change"]);
    const { rounds } = await fleet.coordinator.ask<{ rounds: { bytesDown: number; denseDown: number }[] }>(
      "fleet.rounds.history",
      { model },
    );
    // All but the first round, whose base came with the bundle.
    for (const { bytesDown, denseDown } of rounds.slice(1)) expect(bytesDown).toBeLessThan(denseDown);
    await steady.kill();
    await away.start();
    await start(fleet, 1);
    await publishes(fleet, 5);
    // One way, though it was several steps, or the whole where that is less.
    expect(kinds(away)).toHaveLength(1);
    expect((await historyOf(fleet)).at(-1)?.accepted).toBe(1);
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
