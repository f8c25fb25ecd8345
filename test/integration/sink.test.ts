import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connectAsync } from "mqtt";
import { afterEach, expect, it } from "vitest";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { formerBoxes } from "../../src/crypto/key-rotation.ts";
import { fingerprint } from "../../src/crypto/signing.ts";
import { decodeBatch } from "../../src/wire/batch.ts";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Publisher } from "../support/publisher.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function eventually<T>(look: () => T | undefined, what: string, ms = 30_000): Promise<T> {
  for (const end = Date.now() + ms; ; ) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** `tidegate sink` in a process of its own, and what it logs. */
function startSink(dir: string, ...options: string[]) {
  const child = spawn(process.execPath, [main, "sink", "--data-dir", join(dir, "sink"), ...options]);
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise<number | null>((done) => child.once("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    return ended;
  };
  stops.push(stop);
  return { stop, fact: (name: string) => new RegExp(`"${name}":"([^"]+)"`).exec(text)?.[1] };
}

type Line = {
  id: string;
  kind: string;
  n: number;
  ts: number;
  source: { mote: string };
  fields: Record<string, number>;
};

/** The raw readings that the sink wrote; results that begin or end an alarm stand in files of their own. */
function linesIn(dir: string): Line[] {
  try {
    return readdirSync(dir)
      .filter((file) => file.includes(".raw."))
      .flatMap((file) =>
        readFileSync(join(dir, file), "utf8")
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Line),
      );
  } catch {
    return [];
  }
}

describeReal("tidegate sink", () => {
  it("writes every raw reading of a gateway once, over restarts of both, sealed to a key that it announced", async () => {
    const [site, cloud] = [await startMosquitto(), await startMosquitto()];
    stops.push(
      () => site.stop(),
      () => cloud.stop(),
    );
    const dir = mkdtempSync(join(tmpdir(), "tidegate-sink-"));
    stops.push(() => rmSync(dir, { recursive: true, force: true }));
    const readings = join(dir, "readings");
    const options = ["--broker", cloud.url, "--fleet", "test", "--to", `ndjson:${readings}`, "--trust-first-use"];
    let sink = startSink(dir, ...options);
    const dataSigner = await eventually(() => sink.fact("announcer"), "the sink's signing key");
    const daemon = new Daemon({
      sensors: { url: site.url },
      cloud: { url: cloud.url, dataSigner },
      streams: { env: { ...moteStream, uplink: "raw" } },
    });
    stops.push(() => daemon.remove());
    await daemon.start();
    const sensors = await Publisher.connect(site.url, { motes: 1 });
    stops.push(() => sensors.close());
    await sensors.send(300);
    await eventually(() => (linesIn(readings).length >= 300 ? true : undefined), "the first 300");
    expect(await sink.stop()).toBe(0);
    await sensors.send(300);
    await daemon.stop();
    sink = startSink(dir, ...options);
    await daemon.start();
    await sensors.send(100);
    await eventually(() => (linesIn(readings).length >= 700 ? true : undefined), "all 700");
    const lines = linesIn(readings);
    expect(lines.map(({ n }) => n)).toEqual(Array.from({ length: 700 }, (_, i) => i + 1));
    expect(new Set(lines.map(({ id }) => id)).size).toBe(700);
    expect(lines[0]).toMatchObject({ kind: "raw", source: { mote: "m0" } });
  });

  it("changes its data key: gateways switch, and what was sealed to the old key still opens", async () => {
    const [site, cloud] = [await startMosquitto(), await startMosquitto()];
    stops.push(
      () => site.stop(),
      () => cloud.stop(),
    );
    const dir = mkdtempSync(join(tmpdir(), "tidegate-sink-"));
    stops.push(() => rmSync(dir, { recursive: true, force: true }));
    const dataDir = join(dir, "sink");
    const readings = join(dir, "readings");
    const options = ["--broker", cloud.url, "--fleet", "test", "--to", `ndjson:${readings}`, "--trust-first-use"];
    let sink = startSink(dir, ...options);
    const dataSigner = await eventually(() => sink.fact("announcer"), "the sink's signing key");
    const batches: Uint8Array[] = [];
    const tap = await connectAsync(cloud.url);
    stops.push(() => tap.endAsync(true));
    tap.on("message", (_topic, payload) => batches.push(new Uint8Array(payload)));
    await tap.subscribeAsync("tidegate/v1/test/gateways/+/data/#");
    const daemon = new Daemon({
      sensors: { url: site.url },
      cloud: { url: cloud.url, dataSigner },
      streams: { env: { ...moteStream, model: undefined, uplink: "raw" } },
    });
    stops.push(() => daemon.remove());
    await daemon.start();
    const sensors = await Publisher.connect(site.url, { motes: 1 });
    stops.push(() => sensors.close());
    const arrived = (count: number) =>
      eventually(() => (linesIn(readings).length >= count ? true : undefined), `${count} readings`, 60_000);
    await sensors.send(50);
    await arrived(50);
    expect(await sink.stop()).toBe(0);
    // Sent while nobody opens: sealed to the key that the gateway knows.
    const before = batches.length;
    await sensors.send(50);
    await eventually(() => (batches.length > before ? true : undefined), "a batch that is under way");
    const old = fingerprint(openKeyRing({ dataDir }).box.publicKey);
    const { code, json } = await tidegate(["keys", "rotate", "--dir", dataDir, "--json"]);
    expect([code, (json() as { former: number }).former]).toEqual([0, 1]);
    sink = startSink(dir, ...options);
    await arrived(100);
    await sensors.send(50);
    await arrived(150);
    expect(linesIn(readings).map(({ n }) => n)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
    const to = await Promise.all(
      batches.map(async (batch) => {
        const { box } = openKeyRing({ dataDir });
        const reader = { secretKeys: [box, ...formerBoxes({ dataDir })], isTrusted: () => true };
        return (await decodeBatch(batch, reader)).head.to;
      }),
    );
    expect([to[0], to.at(-1)]).toEqual([old, fingerprint(openKeyRing({ dataDir }).box.publicKey)]);
    expect(old).not.toBe(to.at(-1));

    // Once more, while it runs: nobody is restarted, and nothing is lost.
    expect((await tidegate(["keys", "rotate", "--dir", dataDir])).code).toBe(0);
    const newest = { secretKeys: [openKeyRing({ dataDir }).box], isTrusted: () => true };
    let sent = 150;
    for (const end = Date.now() + 30_000; ; ) {
      await sensors.send(1);
      await arrived(++sent);
      const last = batches.at(-1);
      if (last && (await decodeBatch(last, newest).catch(() => null))) break;
      if (Date.now() > end) throw new Error("no batch is sealed to the newest key");
    }
    expect(linesIn(readings).map(({ n }) => n)).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
  }, 120_000);

  it("tells what is missing", async () => {
    const { code, err } = await tidegate([
      "sink",
      "--broker",
      "mqtt://127.0.0.1:1",
      "--data-dir",
      join(tmpdir(), "none"),
    ]);
    expect(code).toBe(64);
    expect(err).toContain("--to is missing");
    rmSync(join(tmpdir(), "none"), { recursive: true, force: true });
  });
});
