import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { Daemon, moteStream } from "../support/daemon.ts";
import { atEnd } from "../support/daemon-site.ts";

it("waits with a reload until it has started", async () => {
  // Nobody listens there: a broker that is away keeps no gateway from starting.
  const daemon = new Daemon({ sensors: { url: "mqtt://127.0.0.1:1" }, streams: { env: moteStream } });
  atEnd(() => daemon.remove());
  daemon.spawn();
  const isStarting = () => existsSync(join(daemon.dataDir, "buffer.db"));
  await expect.poll(isStarting, { timeout: 30_000, interval: 2 }).toBe(true);
  daemon.hangUp();
  const isReloaded = () => daemon.log.some(({ event }) => event === "configuration reloaded");
  await expect.poll(isReloaded, { timeout: 60_000 }).toBe(true);
  expect(daemon.isRunning).toBe(true);
});

it("does not blame the disk when the journal's thread cannot be loaded", async () => {
  const daemon = new Daemon({ sensors: { url: "mqtt://127.0.0.1:1" }, streams: { env: moteStream } });
  atEnd(() => daemon.remove());
  const script = `import { isMainThread } from "node:worker_threads"; if (!isMainThread) throw new Error("no module");`;
  daemon.spawn({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` });
  expect(await daemon.ended()).toEqual({ code: 70, signal: null });
  expect(daemon.text).toContain("the journal thread does not start: no module");
  expect(daemon.text).not.toContain("could not be written");
});

it("obeys a SIGTERM at any moment of its start, and calls it no fault", async () => {
  const obey = async (ms: number) => {
    const daemon = new Daemon({ sensors: { url: "mqtt://127.0.0.1:1" }, streams: { env: moteStream } });
    atEnd(() => daemon.remove());
    daemon.spawn();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const { code, signal } = await daemon.stop();
    // Before the runtime has come to the program a signal ends it by itself.
    const isObeyed = code === 0 || (signal === "SIGTERM" && daemon.text === "");
    return isObeyed ? "obeyed" : `${ms} ms: ${code} ${signal} ${daemon.text}`;
  };
  const moments = Array.from({ length: 12 }, (_, n) => 100 + n * 150);
  const answers: string[] = [];
  for (let at = 0; at < moments.length; at += 4)
    answers.push(...(await Promise.all(moments.slice(at, at + 4).map(obey))));
  expect(answers.filter((answer) => answer !== "obeyed")).toEqual([]);
});

it("ends, with the reason, when after a reload not even the old configuration starts", async () => {
  const models = mkdtempSync(join(tmpdir(), "tidegate-models-"));
  atEnd(() => rmSync(models, { recursive: true, force: true }));
  const bundle = join(models, "mote-anomaly");
  cpSync(resolve(import.meta.dirname, "../../models/mote-anomaly"), bundle, { recursive: true });
  const daemon = new Daemon({
    ...{ sensors: { url: "mqtt://127.0.0.1:1" }, streams: { env: moteStream }, models: { dir: models } },
  });
  atEnd(() => daemon.remove());
  await daemon.start({ isConnected: false });
  rmSync(bundle, { recursive: true });
  daemon.hangUp();
  expect(await daemon.ended()).toEqual({ code: 78, signal: null });
  expect(daemon.log.some(({ event }) => event === "ended by a fault")).toBe(true);
});
