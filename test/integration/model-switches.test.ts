import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { pushModel } from "../../src/commands/model/push-model.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { fleetTopics } from "../../src/wire/topics.ts";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { openLink, until } from "../support/links.ts";
import { writeBundle } from "../support/model-bundle.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener, Publisher } from "../support/publisher.ts";
import { emptyFolder } from "../support/started-host.ts";

/** Until then the heap takes its size: it grows by 30 MB, and stays. */
const warmUp = 100;
const switches = 100;
const model = "sum";
const manifestTopic = fleetTopics("test").manifest(model);

/** Memory of a process and its children that is theirs alone, bytes: what they share with others depends on those. */
function memoryOf(pid: number): number {
  const [, kilobytes = "0"] = /^Anonymous:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")) ?? [];
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean),
  );
  return Number(kilobytes) * 1_024 + children.reduce((sum, child) => sum + memoryOf(Number(child)), 0);
}

/** The least of some looks: a load in progress takes memory for a moment. */
async function restingMemory(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 6; look++) {
    least = Math.min(least, memoryOf(pid));
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return least;
}

describeReal("a gateway whose model is switched a hundred times in a row", () => {
  it("gives a result for every reading, and takes no more memory than before", async () => {
    const broker = await startMosquitto();
    atEnd(() => broker.stop());
    const shipped = emptyFolder();
    writeBundle(shipped, { version: 1, size: 1 });
    const { signer } = openKeyRing({ dataDir: emptyFolder() });
    const daemon = daemonAt(broker.url, {
      cloud: { url: broker.url },
      policy: "policy.yaml",
      models: { dir: shipped, updates: { watch: "1s" } },
      streams: {
        env: {
          ...{ topic: "s/{sensor}", codec: "json", fields: { a: "a", b: "b" }, timestamp: "ts" },
          ...{ window: { size: 1 }, model, normalize: "none", publish: { when: "all" } },
        },
      },
    });
    mkdirSync(daemon.dir, { recursive: true });
    const key = Buffer.from(signer.publicKey).toString("base64");
    writeFileSync(
      join(daemon.dir, "policy.yaml"),
      `principals: { ops: { keys: ["${key}"], roles: [publisher] } }\nrules: [{ allow: [model.push, model.rollback], roles: [publisher] }]\n`,
    );
    await daemon.start();
    const results = await Listener.connect(broker.url, "tidegate/gw-1/results/#");
    atEnd(() => results.close());
    const sensors = await Publisher.connect(broker.url);
    atEnd(() => sensors.close());
    let sent = 0;
    const start = Date.now();
    const timer = setInterval(() => {
      void sensors.raw("s/one", JSON.stringify({ a: 1, b: 1, ts: start + sent }), { qos: 1 });
      sent++;
    }, 10);
    atEnd(() => clearInterval(timer));

    let heard = 0;
    const held = new Map<string, Uint8Array>();
    const { link } = openLink(broker.url, {
      ...{ clientId: "operator", ack: "auto", subscriptions: [{ topic: manifestTopic, qos: 1, retained: "each" }] },
      onMessage: ({ topic, payload }) => {
        held.set(topic, new Uint8Array(payload));
        heard++;
      },
    });
    atEnd(() => link.stop(1_000));
    await link.online(5_000);
    const running = async () => {
      const { models } = await daemon.ask<{ models: { name: string; version: number }[] }>("status");
      return models.find(({ name }) => name === model)?.version;
    };
    let lastManifest = 0;
    const switchTo = async (version: number) => {
      const bundle = await openBundle(writeBundle(emptyFolder(), { version, size: 1, factor: 1 + version / 1_000 }));
      await until(() => heard === lastManifest, "the last manifest is heard");
      const pushed = await pushModel(link, {
        ...{ fleet: "test", former: () => held.get(manifestTopic) },
        ...{ bundle, parents: [], signers: [signer], requires: {}, validDays: 1, onProgress: () => {} },
        rollout: { share: 1, seed: "", isHalted: false, isForced: true },
      });
      expect(pushed.manifest).toBe(lastManifest + 1);
      lastManifest = pushed.manifest;
      await expect.poll(running, { timeout: 15_000, interval: 20 }).toBe(version);
    };

    for (let version = 2; version < 2 + warmUp; version++) await switchTo(version);
    const before = await restingMemory(daemon.pid);
    for (let version = 2 + warmUp; version < 2 + warmUp + switches; version++) await switchTo(version);
    const after = await restingMemory(daemon.pid);
    clearInterval(timer);
    const given = () => new Set(results.json<{ id: string }>("tidegate/gw-1/results/").map(({ id }) => id)).size;
    await expect.poll(given, { timeout: 15_000 }).toBe(sent);
    const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    console.log(
      `${switches} switches under ${sent} readings: memory ${megabytes(before)} MiB before, ${megabytes(after)} after`,
    );
    expect(after / before).toBeLessThan(1.05);
  }, 240_000);
});
