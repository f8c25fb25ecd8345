import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { manifestKind } from "../../src/control/model-manifest.ts";
import { ModelUpdates, stagingDir } from "../../src/control/model-updates.ts";
import { publishBlob } from "../../src/coordinator/blob-publisher.ts";
import { describeRelease } from "../../src/coordinator/release.ts";
import { modelShelf } from "../../src/gateway/model-shelf.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { LiveModels } from "../../src/inference/live-models.ts";
import { Registry } from "../../src/inference/registry.ts";
import { Scheduler } from "../../src/inference/scheduler.ts";
import { shadowDefaults } from "../../src/inference/shadow.ts";
import type { Link } from "../../src/wire/link.ts";
import { fleetTopics, matchesFilter } from "../../src/wire/topics.ts";
import { openLink } from "../support/links.ts";
import { type BundleSpec, writeBundle } from "../support/model-bundle.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { emptyFolder, eventually, startHost } from "../support/started-host.ts";

const topics = fleetTopics("demo");
const stream = "env";

describeReal("a gateway that is offered new versions of its model", () => {
  let broker: Mosquitto;
  let ends: (() => Promise<unknown>)[];
  let publisher: Link;

  beforeEach(async () => {
    broker = await startMosquitto();
    ends = [];
    publisher = await linkOf("publisher");
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    await broker.stop();
  });

  const linkOf = async (clientId: string, onMessage: (topic: string, payload: Uint8Array) => void = () => {}) => {
    const { link } = openLink(broker.url, {
      clientId,
      subscriptions: [],
      ack: "auto",
      onMessage: ({ topic, payload }) => onMessage(topic, payload),
    });
    ends.push(() => link.stop(1_000));
    await link.online(5_000);
    return link;
  };

  const publish = (topic: string, payload: Uint8Array, { retain }: { retain: boolean }) =>
    publisher.publish(topic, payload, { qos: 1, retain });

  let version = 0;
  /** Publishes a version and its manifest. */
  const push = async (spec: BundleSpec, more: Record<string, unknown> = {}, parents: string[] = []) => {
    const bundle = await openBundle(writeBundle(emptyFolder(), spec));
    const older = await Promise.all(parents.map((dir) => openBundle(dir)));
    const { release, blobs } = await describeRelease(bundle, older);
    for (const blob of blobs)
      expect(await publishBlob(blob, (sha, n) => topics.blob("sum", sha, n), publish)).toEqual([]);
    const manifest = { kind: manifestKind, audience: "demo", version: ++version, subject: "sum", release, ...more };
    await publish(topics.manifest("sum"), Buffer.from(JSON.stringify(manifest)), { retain: true });
    return bundle;
  };

  type Setting = { dataDir: string; shipped: string; state?: Map<string, Uint8Array>; watchMs?: number };

  /** A gateway's own parts around its models: real model process, real files, real broker. */
  const gateway = async ({ dataDir, shipped, state = new Map(), watchMs = 300 }: Setting) => {
    const host = await startHost();
    const lost: number[] = [];
    const versions: number[] = [];
    let results = 0;
    const scheduler = new Scheduler({
      host,
      clock: systemClock,
      log: silentLog,
      onResults: (batch) => {
        results += batch.n;
        if (versions.at(-1) !== batch.version) versions.push(batch.version);
      },
      onLost: ({ n }) => lost.push(n),
    });
    const live = new LiveModels({
      registry: new Registry({ dirs: [join(dataDir, "models"), shipped] }),
      host,
      log: silentLog,
      onSwap: (name, model) => scheduler.swap(name, model),
    });
    const routes = new Set<{ filter: string; onMessage(m: { topic: string; payload: Uint8Array }): void }>();
    const link: Link = await linkOf("gateway", (topic, payload) => {
      for (const route of routes) if (matchesFilter(route.filter, topic)) route.onMessage({ topic, payload });
    });
    const reconcile = () =>
      link.reconcile([...routes].map(({ filter }) => ({ topic: filter, qos: 1 as const, retained: "each" as const })));
    const rule = { ...shadowDefaults, windows: 64, maxMs: 5_000 };
    const updates = new ModelUpdates({
      gateway: "gw-1",
      models: ["sum"],
      hardware: { runtime: "0.1.0", arch: "x64", memoryMB: 1_024 },
      dir: stagingDir(dataDir),
      shelf: modelShelf({ dataDir, live, host, scheduler, clock: systemClock, rule }),
      store: {
        stateGet: async (name) => state.get(name) ?? null,
        statePut: async (name, value) => void state.set(name, value),
      },
      port: {
        listen: (route) => {
          routes.add(route);
          void reconcile();
          return () => {
            routes.delete(route);
            return reconcile();
          };
        },
      },
      manifestTopic: topics.manifest,
      blobTopic: topics.blob,
      verify: async (payload) => JSON.parse(Buffer.from(payload).toString()),
      watchMs,
      onChange: () => {},
      clock: systemClock,
      log: silentLog,
      random: () => 0,
    });
    await updates.settle();
    const { model } = await live.use("sum", stream, ["a", "b"]);
    scheduler.open({ stream, model, width: 8, whenFull: "hold" });
    await updates.start(new AbortController().signal);
    for (const route of updates.routes) routes.add(route);
    await reconcile();
    let sent = 0;
    const sensor = { value: 1 };
    const timer = setInterval(() => {
      for (let i = 0; i < 4; i++)
        scheduler.enqueue(stream, 0, sent, sent++, performance.now(), new Float32Array(8).fill(sensor.value));
    }, 4);
    const stop = async () => {
      clearInterval(timer);
      await updates.stop(1_000);
      await scheduler.drained();
      await link.stop(500);
    };
    ends.push(stop);
    const release = () => updates.status().models.sum;
    return { sensor, updates, live, release, versions, lost, stop, counts: () => ({ sent, results }), state };
  };

  const shipped = (spec: BundleSpec = {}) => {
    const dir = emptyFolder();
    writeBundle(dir, { version: 1, ...spec });
    return dir;
  };

  it("fetches it, tries it beside the running one, switches without losing a window, and keeps it", async () => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped() });
    const bundle = await push({ version: 2, factor: 2 });
    await eventually(() => gw.release()?.state === "active", 15_000);
    expect(gw.live.running("sum")?.model.hash).toBe(bundle.hash);
    await gw.stop();
    const { sent, results } = gw.counts();
    expect(results).toBe(sent);
    expect(gw.lost).toEqual([]);
    expect(gw.versions).toEqual([1, 2]);
  });

  it("takes the difference to the version that it has when that is smaller", async () => {
    const card = { description: "x".repeat(100_000) };
    const root = shipped({ card: { description: "x".repeat(100_000) } });
    const gw = await gateway({ dataDir: emptyFolder(), shipped: root });
    await push({ version: 2, factor: 2, card }, {}, [join(root, "sum")]);
    await eventually(() => gw.release()?.state === "active", 15_000);
    expect(gw.updates.counters.receivedBytes).toBeLessThan(5_000);
  });

  it.each([
    ["raises alarms on every window", { version: 2, factor: 1_000 }, /alarms on 64 of 64/],
    [
      "fails its golden samples",
      { version: 2, golden: [{ window: new Array(8).fill(1), outputs: { score: 7 } }] },
      /golden/,
    ],
    ["has another window", { version: 2, size: 5 }, /window/],
    ["is no newer", { version: 1, factor: 3 }, /no newer/],
  ])("refuses one that %s, says why, and goes on with the one it has", async (_, spec, reason) => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped() });
    await push(spec);
    await eventually(() => gw.release()?.state === "refused", 15_000);
    expect(gw.release()?.reason).toMatch(reason);
    expect(gw.live.running("sum")?.model.version).toBe(1);
    // Offered again under a newer manifest it is not tried again.
    const before = gw.updates.counters.receivedBytes;
    await push(spec);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(gw.release()?.state).toBe("refused");
    expect(gw.updates.counters.receivedBytes).toBe(before);
  });

  it("goes back to the version before when asked by a manifest that says so", async () => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped() });
    await push({ version: 2, factor: 2 });
    await eventually(() => gw.release()?.state === "active", 15_000);
    await push({ version: 1, factor: 1 });
    await eventually(() => gw.release()?.state === "refused", 15_000);
    const forced = { share: 1, seed: "", isHalted: false, isForced: true };
    await push({ version: 1, factor: 1 }, { rollout: forced });
    await eventually(() => gw.live.running("sum")?.model.version === 1 && gw.release()?.state === "active", 15_000);
  });

  it("takes its turn in a staged rollout, and stays where it is when that is halted", async () => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped() });
    const rollout = { share: 0, seed: "s", isHalted: false, isForced: false };
    const spec = { version: 2, factor: 2 };
    await push(spec, { rollout });
    await eventually(() => gw.release()?.state === "not-mine", 15_000);
    await push(spec, { rollout: { ...rollout, share: 1, isHalted: true } });
    await eventually(() => gw.release()?.reason === "the rollout is halted", 15_000);
    expect(gw.updates.counters.receivedBytes).toBe(0);
    await push(spec, { rollout: { ...rollout, share: 1 } });
    await eventually(() => gw.release()?.state === "active", 15_000);
  });

  it("goes back by itself when it alarms all the time from the switch on", async () => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped(), watchMs: 60_000 });
    await push({ version: 2, factor: 5 });
    await eventually(() => gw.live.running("sum")?.model.version === 2, 15_000);
    expect(gw.release()?.state).toBe("watching");
    gw.sensor.value = 4;
    await eventually(() => gw.release()?.state === "rolled-back", 15_000);
    expect(gw.release()?.reason).toMatch(/windows alarm since the switch/);
    expect(gw.live.running("sum")?.model.version).toBe(1);
    await gw.stop();
    expect(gw.lost).toEqual([]);
  });

  it("goes back by itself when starts with the new version fail", async () => {
    const dataDir = emptyFolder();
    const first = await gateway({ dataDir, shipped: shipped(), watchMs: 60_000 });
    await push({ version: 2, factor: 2 });
    await eventually(() => first.release()?.state === "watching", 15_000);
    await eventually(() => first.live.running("sum")?.model.version === 2, 15_000);
    await first.stop();
    const { state } = first;
    const ships = shipped();
    const starting = async () => {
      const host = await startHost();
      const live = new LiveModels({
        registry: new Registry({ dirs: [join(dataDir, "models"), ships] }),
        host,
        log: silentLog,
        onSwap: () => {},
      });
      const scheduler = new Scheduler({ host, clock: systemClock, log: silentLog, onResults: () => {} });
      const updates = new ModelUpdates({
        gateway: "gw-1",
        models: ["sum"],
        hardware: { runtime: "0.1.0", arch: "x64", memoryMB: 1_024 },
        dir: stagingDir(dataDir),
        shelf: modelShelf({ dataDir, live, host, scheduler, clock: systemClock, rule: shadowDefaults }),
        store: {
          stateGet: async (name) => state.get(name) ?? null,
          statePut: async (name, value) => void state.set(name, value),
        },
        port: { listen: () => async () => {} },
        manifestTopic: topics.manifest,
        blobTopic: topics.blob,
        verify: async () => ({}),
        watchMs: 1_000,
        onChange: () => {},
        clock: systemClock,
        log: silentLog,
        random: () => 0,
      });
      await updates.settle();
      return live.use("sum", stream, ["a", "b"]);
    };
    rmSync(join(dataDir, "models", "sum", "model.onnx"));
    await expect(starting()).rejects.toThrow();
    await expect(starting()).rejects.toThrow();
    const { model } = await starting();
    expect(model.version).toBe(1);
  });

  it("switches a hundred times without losing a window", async () => {
    const gw = await gateway({ dataDir: emptyFolder(), shipped: shipped(), watchMs: 1 });
    for (let n = 2; n <= 101; n++) {
      await push({ version: n, factor: 1 + n / 1_000 });
      await eventually(() => gw.release()?.state === "active" && gw.live.running("sum")?.model.version === n, 15_000);
    }
    await gw.stop();
    const { sent, results } = gw.counts();
    expect(results).toBe(sent);
    expect(gw.lost).toEqual([]);
  }, 120_000);
});
