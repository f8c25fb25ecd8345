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
async function trained(
  site: Site,
  card: Record<string, unknown> = {},
  training: Record<string, unknown> = {},
  streams: Record<string, object> = {},
) {
  const models = emptyFolder();
  mkdirSync(models, { recursive: true });
  await writeSeriesBundle(models, card);
  const daemon = daemonAt(site.broker.url, {
    streams: { tank, ...streams },
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

  it("trains on every stream that runs the model, with what it kept of the past, and tells of drift", async () => {
    const site = await openSite();
    const second = { tank2: { ...tank, topic: "basins/{tank}" } };
    const { daemon } = await trained(site, {}, {}, second);
    const events: { event?: string; manifest?: { streams: { stream: string }[] }; parts?: Record<string, number> }[] =
      [];
    const hear = (item: unknown) => void events.push(item as (typeof events)[number]);
    const data = () => events.filter(({ event }) => event === "data").at(-1);
    await ask(daemon, { stream: "tank" }, hear);
    expect(data()?.parts?.replayed).toBe(0);
    // Later, and higher, on the second stream alone.
    const base = 1_700_000_000_000 + 2 * 3_600_000;
    for (let i = 0; i < 1_500; i++)
      await site.sensors.raw("basins/c", JSON.stringify({ ts: base + i * 1_000, level: 7 + Math.sin(i / 5) }));
    await daemon.eventually(({ streams }) => streams.tank2?.stored === 1_500, "stored all readings");
    await ask(daemon, { settings: { epochs: 2 } }, hear);
    expect(
      data()
        ?.manifest?.streams.map(({ stream }) => stream)
        .sort(),
    ).toEqual(["tank", "tank2"]);
    expect(data()?.parts?.replayed).toBeGreaterThan(100);
    const { health, trainings } = (await daemon.status()) as unknown as {
      health: { parts: { training: { state: string; reason: string } } };
      trainings: { drift: { series: { name: string; psi: number }[] } };
    };
    expect(trainings.drift.series.find(({ name }) => name === "level")?.psi).toBeGreaterThan(0.25);
    expect(health.parts.training).toMatchObject({
      state: "degraded",
      reason: expect.stringMatching(/level has drifted/),
    });
    const kept = readFileSync(join(daemon.dataDir, "training", "series.replay"));
    expect(kept.includes("windows")).toBe(false);
  }, 120_000);

  it("takes its targets from a label topic", async () => {
    const site = await openSite();
    const labelled = {
      task: "regression",
      target: { kind: "label" },
      window: { size: 8, hop: 1 },
    };
    const inspections = { topic: "inspections/{tank}", fields: { grade: "grade" }, timestamp: "ts" };
    const streams = { tank: { ...tank, labels: { stream: "said", field: "grade", within: "2s" } }, said: inspections };
    const { daemon } = await trained(site, labelled, {}, streams);
    await expect(ask(daemon, {})).rejects.toMatchObject({ code: "DATA_UNUSABLE" });
    for (let i = 8; i < 600; i += 3)
      await site.sensors.raw("inspections/a", JSON.stringify({ ts: 1_700_000_000_000 + i * 1_000, grade: i % 7 }));
    await daemon.eventually(({ streams: all }) => all.said?.stored === 198, "stored all labels");
    let parts: Record<string, number> = {};
    await ask(daemon, { settings: { epochs: 1 } }, (item) => {
      const { event, parts: told } = item as { event: string; parts: Record<string, number> };
      if (event === "data") parts = told;
    });
    // Windows of tank a alone have a label; nearly each of them, since one is at most 2 s away.
    const examples = Object.values(parts).reduce((a, b) => a + b, 0);
    expect(examples).toBeGreaterThan(500);
    expect(examples).toBeLessThan(600);
  }, 120_000);

  it("takes its targets from operators' marks, which are kept sealed", async () => {
    const classes = {
      task: "classification",
      labels: ["calm", "rough"],
      loss: { kind: "binaryCrossEntropy", output: "foretold" },
      target: { kind: "label" },
    };
    const { daemon } = await trained(await openSite(), classes);
    const client = await ControlClient.connect(daemon.socket);
    atEnd(() => client.close());
    const start = 1_700_000_000_000;
    for (const [label, from] of [
      ["calm", 0],
      ["rough", 150_000],
      ["calm", 300_000],
      ["rough", 450_000],
    ] as const)
      await client.call("marks.add", {
        stream: "tank",
        source: "b",
        from: start + from,
        to: start + from + 99_000,
        label,
      });
    let parts: Record<string, number> = {};
    await ask(daemon, { settings: { epochs: 1 } }, (item) => {
      const { event, parts: told } = item as { event: string; parts: Record<string, number> };
      if (event === "data") parts = told;
    });
    // Each mark holds a hundred windows of tank b; between two parts of the split some are left out.
    const examples = Object.values(parts).reduce((a, b) => a + b, 0);
    expect(examples).toBeGreaterThan(340);
    expect(examples).toBeLessThanOrEqual(400);
    expect(await client.call("marks.remove", { stream: "tank" })).toBe(4);
  }, 60_000);

  it("refuses what cannot be trained and goes on running it", async () => {
    const { daemon } = await trained(await openSite(), { train: undefined });
    await expect(ask(daemon, {})).rejects.toMatchObject({ code: "CARD_UNTRAINABLE" });
    await expect(ask(daemon, { model: "nothing" })).rejects.toMatchObject({ code: "USAGE" });
    expect((await statusOf(daemon)).models).toMatchObject([{ version: 1 }]);
  }, 60_000);
});
