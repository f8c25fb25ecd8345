import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { ControlClient } from "../../src/ops/control-client.ts";
import type { Daemon } from "../support/daemon.ts";
import { atEnd, daemonAt, openSite, type Site } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";
import { seriesReadings, writeSeriesBundle } from "../support/series.ts";
import { emptyFolder } from "../support/started-host.ts";

const tank = {
  topic: "tanks/{tank}",
  fields: { level: "level" },
  timestamp: "ts",
  model: "series",
  publish: { when: "change" },
};

type Report = {
  outcome: string;
  version: number;
  reasons: string[];
  metrics: Record<string, number>;
  before: Record<string, number>;
};

/** A daemon whose stream runs `series`, with readings in its buffer. */
async function trained(site: Site, card: Record<string, unknown> = {}, training: Record<string, unknown> = {}) {
  const models = emptyFolder();
  mkdirSync(models, { recursive: true });
  await writeSeriesBundle(models, card);
  const daemon = daemonAt(site.broker.url, {
    streams: { tank },
    models: { dir: models },
    training: { minMemory: "1MiB", maxLoad: 100, jitter: "0s", ...training },
  });
  await daemon.start();
  let sent = 0;
  for (const { frame, sources } of seriesReadings()) {
    for (let i = 0; i < frame.count; i++, sent++) {
      const topic = `tanks/${sources[frame.source[i] ?? 0]?.tank}`;
      await site.sensors.raw(topic, JSON.stringify({ ts: frame.ts[i], level: frame.values[0]?.[i] }));
    }
  }
  await daemon.eventually(({ streams }) => streams.tank?.stored === sent, "stored all readings");
  return { daemon, models };
}

async function ask(daemon: Daemon, params: object, onItem: (item: unknown) => void = () => {}): Promise<Report> {
  const client = await ControlClient.connect(daemon.socket);
  atEnd(() => client.close());
  return (await client.call("training.train", { model: "series", ...params }, { onItem })) as Report;
}

type Training = {
  trainings: { doing: { state: string; epoch: number } | null; last: { outcome: string } | null };
  models: { name: string; version: number }[];
};
const statusOf = async (daemon: Daemon) => (await daemon.status()) as unknown as Training;

describeReal("the daemon trains its models on its own buffer", () => {
  it("installs a better version, which takes over while readings go on; the former one is kept", async () => {
    const site = await openSite();
    const { daemon } = await trained(site);
    const events: { event?: string }[] = [];
    const report = await ask(daemon, {}, (item) => events.push(item as { event?: string }));
    expect(report).toMatchObject({ outcome: "installed", version: 2 });
    expect(report.metrics.mse).toBeLessThan(report.before.mse ?? 0);
    expect(events.map(({ event }) => event)).toContain("progress");
    await expect
      .poll(async () => (await statusOf(daemon)).models, { timeout: 15_000 })
      .toMatchObject([{ name: "series", version: 2 }]);
    const own = join(daemon.dataDir, "models", "series");
    const card = parse(readFileSync(join(own, "card.yaml"), "utf8"));
    expect(card).toMatchObject({ version: 2, parent: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(JSON.stringify(card)).not.toMatch(/tank/);
    // The daemon verified the new golden samples before it took the version; they are not those of the old one.
    expect(readFileSync(join(own, "golden.ndjson"), "utf8")).toMatch(/a slow wave/);

    expect(await ask(daemon, { settings: { rate: 1e-9, epochs: 1 } })).toMatchObject({ version: 2, outcome: "kept" });
    expect(readdirSync(join(daemon.dataDir, "models"))).toEqual(["series"]);
    const again = await ask(daemon, { settings: { epochs: 20 } });
    if (again.outcome === "installed")
      expect(readdirSync(join(daemon.dataDir, "models")).sort()).toEqual([".series.former", "series"]);
    expect((await daemon.status()).streams.tank?.lostWindows).toEqual({ overflow: 0, model: 0 });
  }, 120_000);

  it("keeps a candidate that is no better apart, and says why", async () => {
    const { daemon } = await trained(await openSite());
    const report = await ask(daemon, { settings: { rate: 1e-9, epochs: 1 } });
    expect(report).toMatchObject({ outcome: "kept", version: 1 });
    expect(report.reasons.join()).toMatch(/not shown|worse/);
    expect(existsSync(join(daemon.dataDir, "training", "candidates", "series", "model.onnx"))).toBe(true);
    expect(existsSync(join(daemon.dataDir, "models", "series"))).toBe(false);
    expect((await statusOf(daemon)).models).toMatchObject([{ version: 1 }]);
  }, 60_000);

  it("trains when its schedule says so", async () => {
    const { daemon } = await trained(await openSite(), {}, { schedule: "* * * * * *", minReadings: 100 });
    await expect
      .poll(async () => (await statusOf(daemon)).trainings.last?.outcome, { timeout: 60_000 })
      .toBe("installed");
  }, 90_000);

  it("killed with its trainer in the midst of it, goes on from the checkpoint, which holds nothing in the open", async () => {
    const { daemon } = await trained(await openSite());
    const settings = { epochs: 400, batch: 4 };
    const checkpoint = join(daemon.dataDir, "training", "series.checkpoint");
    const lost = ask(daemon, { settings }).catch((thrown: { code: string }) => thrown.code);
    await expect.poll(() => existsSync(checkpoint), { timeout: 60_000 }).toBe(true);
    await daemon.kill();
    expect(await lost).toBe("CONTROL_UNAVAILABLE");
    const bytes = readFileSync(checkpoint);
    expect(bytes.includes("tank")).toBe(false);
    await daemon.start();
    const events: Record<string, unknown>[] = [];
    const client = await ControlClient.connect(daemon.socket);
    const ended = client
      .call("training.train", { model: "series", settings }, { onItem: (item) => void events.push(item as never) })
      .catch(() => {});
    await expect
      .poll(() => events.find(({ event }) => event === "resumed"), { timeout: 30_000 })
      .toMatchObject({
        standing: "exact",
      });
    // A trainer that is asked to stop still writes its checkpoint.
    await daemon.stop();
    await ended;
  }, 120_000);

  it("refuses what cannot be trained and goes on running it", async () => {
    const { daemon } = await trained(await openSite(), { train: undefined });
    await expect(ask(daemon, {})).rejects.toMatchObject({ code: "CARD_UNTRAINABLE" });
    await expect(ask(daemon, { model: "nothing" })).rejects.toMatchObject({ code: "USAGE" });
    expect((await statusOf(daemon)).models).toMatchObject([{ version: 1 }]);
  }, 60_000);
});
