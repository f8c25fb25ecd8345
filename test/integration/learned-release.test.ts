import { join } from "node:path";
import { expect, it } from "vitest";
import { vectorOfBytes, weightsOfBundle } from "../../src/coordinator/bundle-weights.ts";
import { SqliteCoordinatorStore } from "../../src/coordinator/sqlite-store.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { tidegate } from "../support/command-line.ts";
import { atEnd, openSite } from "../support/daemon-site.ts";
import { feed, joinFleet, model, openFleet, publishes, start, told } from "../support/learning-fleet.ts";
import { describeReal } from "../support/mosquitto.ts";
import { emptyFolder } from "../support/started-host.ts";

describeReal("what a fleet has learned", () => {
  it("becomes a release that gateways run, and the base of the next round", async () => {
    const fit = ["mean", "std"].map((statistic) => ({ tensor: statistic, statistic, of: "window" }));
    const fleet = await openFleet(
      { normalization: { window: { low: -4, high: 4 } }, training: { epochs: 4, batch: 32, learningRate: 0.05 } },
      { fit },
    );
    const site = await openSite();
    const updates = { models: { dir: fleet.models, updates: { trialWindows: 4, trialTime: "1s", watch: "1s" } } };
    const one = await joinFleet(fleet, site, "gw-1", 0, updates);
    const two = await joinFleet(fleet, site, "gw-2", 2, updates);
    await start(fleet, 3);
    await publishes(fleet, 3);
    const { config } = { config: fleet.coordinator.file };
    const fleetVerb = (...words: string[]) => tidegate(["fleet", ...words, "--config", config, "--json"]);

    // As a bundle, to be looked at.
    const out = join(emptyFolder(), "learned");
    const written = await fleetVerb("release", model, "--out", out);
    expect(written).toMatchObject({ code: 0 });
    const bundle = await openBundle(out);
    expect(bundle.card).toMatchObject({
      name: model,
      version: 5,
      parent: (await openBundle(join(fleet.models, model))).hash,
    });
    expect((await tidegate(["model", "verify", out])).code).toBe(0);
    expect((await fleetVerb("release", model, "--version", "99", "--out", join(out, "x"))).code).not.toBe(0);
    expect((await fleetVerb("release", model, "--version", "1", "--out", join(out, "x"))).code).not.toBe(0);

    // To the gateways, which try it on what they measure.
    let at = 1_500;
    const timer = setInterval(() => {
      for (const [id, phase] of [
        ["gw-1", 0],
        ["gw-2", 2],
      ] as const)
        void feed(site, id, phase, at, at + 1);
      at++;
    }, 50);
    atEnd(() => clearInterval(timer));
    const rolled = await fleetVerb(
      ...["rollout", "start", model, "--version", "newest", "--stages", "1", "--wait", "100ms"],
    );
    expect(rolled).toMatchObject({ code: 0 });
    for (const daemon of [one, two]) {
      type Status = { models?: { name: string; version: number }[] };
      await daemon.eventually(
        (status) => (status as Status).models?.find(({ name }) => name === model)?.version === 5,
        "runs version 5",
        120_000,
      );
    }
    // Whoever runs it has the base of the next round.
    const before = [one, two].map(({ log }) => log.length);
    await start(fleet, 1);
    await publishes(fleet, 4);
    for (const [i, { log }] of [one, two].entries())
      expect(log.slice(before[i]).filter(({ event }) => /base is here/.test(event))).toEqual([]);
    await told(one, "accepted");

    await fleet.coordinator.stop();
    const store = new SqliteCoordinatorStore(join(fleet.coordinator.dataDir, "coordinator.db"));
    const learned = await store.version(model, 5);
    await store.close();
    expect(await weightsOfBundle(bundle)).toEqual(vectorOfBytes(learned?.weights ?? new Uint8Array()));
  }, 300_000);
});
