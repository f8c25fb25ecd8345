import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { until } from "../support/links.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/publisher.ts";
import { SinkProcess } from "../support/sink-process.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Audit = { name: string; outcome: string }[];

describeReal("keys of a gateway that runs", () => {
  it("are replaced: what wraps the stored data at once, what signs with the sink trusting both meanwhile", async () => {
    const dir = mkdtempSync(join(tmpdir(), "tidegate-rotate-"));
    stops.push(() => rmSync(dir, { recursive: true, force: true }));
    const [site, cloud] = [await startMosquitto(), await startMosquitto()];
    stops.push(
      () => site.stop(),
      () => cloud.stop(),
    );
    const sinkDir = join(dir, "sink");
    const { signer } = openKeyRing({ dataDir: sinkDir });
    const readings = join(dir, "readings");
    const daemon = new Daemon({
      sensors: { url: site.url },
      cloud: { url: cloud.url, dataSigner: Buffer.from(signer.publicKey).toString("base64") },
      streams: { env: { ...moteStream, model: undefined, uplink: "raw" } },
    });
    stops.push(() => daemon.remove());
    const first = openKeyRing({ dataDir: daemon.dataDir });
    const config = ["--config", join(daemon.dir, "tidegate.yaml")];
    const trust = async (key: string) =>
      expect((await tidegate(["keys", "trust", "test/gw-1", key, "--dir", sinkDir])).code).toBe(0);
    await trust(Buffer.from(first.signer.publicKey).toString("base64"));
    const sink = new SinkProcess(
      ...["--broker", cloud.url, "--fleet", "test", "--data-dir", sinkDir, "--to", `ndjson:${readings}`],
    );
    stops.push(() => sink.stop());
    const count = () => {
      try {
        const text = readdirSync(readings).map((name) => readFileSync(join(readings, name), "utf8"));
        return text.join("").split("\n").length - 1;
      } catch {
        return 0;
      }
    };
    await daemon.start();
    const sensors = await Publisher.connect(site.url, { motes: 1 });
    stops.push(() => sensors.close());
    await sensors.send(20);
    await until(() => count() === 20, "the first readings at the sink", 60_000);

    // The databases of before, which a thief may have: they open no more with the keys that are here after it.
    const before = join(dir, "before");
    cpSync(daemon.dataDir, before, { recursive: true, filter: (path) => !/\.(sock|lock)$/.test(path) });
    const rotated = await tidegate(["keys", "rotate", "--storage", ...config, "--json"]);
    expect(rotated.json()).toEqual({ rotations: 1 });
    await sensors.send(20);
    await until(() => count() === 40, "readings after the change", 60_000);

    const { publicKey } = (await tidegate(["keys", "rotate", "--signing", ...config, "--json"])).json() as {
      publicKey: string;
    };
    await trust(publicKey);
    // The old key still signs, and is trusted: nothing has to happen at one moment.
    await sensors.send(20);
    await until(() => count() === 60, "readings under the old key", 60_000);
    await daemon.stop();
    expect((await tidegate(["keys", "rotate", "--storage", ...config, "--json"])).json()).toEqual({ rotations: 2 });
    await sensors.send(20);
    await daemon.start();
    await until(() => count() === 80, "readings under the new key, what came meanwhile among them", 60_000);
    const now = openKeyRing({ dataDir: daemon.dataDir });
    expect(Buffer.from(now.signer.publicKey).toString("base64")).toBe(publicKey);
    expect(now.identity).toBe(first.identity);
    const entries = (await tidegate(["audit", "ls", ...config, "--json"])).json() as Audit;
    expect(entries.filter(({ name }) => name === "keys.rotate")).toHaveLength(2);
    await daemon.stop();

    for (const name of ["state.db", "buffer.db"]) {
      for (const end of ["-wal", "-shm"]) rmSync(join(daemon.dataDir, name + end), { force: true });
      cpSync(join(before, name), join(daemon.dataDir, name));
      for (const end of ["-wal"]) cpSync(join(before, name + end), join(daemon.dataDir, name + end));
    }
    const ended = await tidegate(["buffer", "stats", ...config, "--json"]);
    expect(ended.code).toBe(78);
    expect(ended.out).toContain("KEY_WRONG");
  }, 180_000);
});
