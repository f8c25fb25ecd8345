import { existsSync } from "node:fs";
import { join } from "node:path";
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
