import { join } from "node:path";
import { connectAsync } from "mqtt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DaemonStatus } from "../../src/commands/status/daemon-status.ts";
import { renderStatus } from "../../src/commands/status/screen.ts";
import { tidegate } from "../support/command-line.ts";
import { Daemon, moteStream } from "../support/daemon.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

describeReal("tidegate status", () => {
  let broker: Mosquitto;
  let daemon: Daemon;
  const file = () => join(daemon.dir, "tidegate.yaml");
  beforeEach(async () => {
    broker = await startMosquitto();
    daemon = new Daemon({ sensors: { url: broker.url }, streams: { env: moteStream } });
    await daemon.start();
  });
  afterEach(async () => {
    await daemon.remove();
    await broker.stop();
  });

  it("tells how far each source's window is filled, once where nothing can be redrawn", async () => {
    const sensors = await connectAsync(broker.url);
    for (let i = 0; i < 3; i++) {
      const reading = { ts: 1_700_000_000_000 + i * 5_000, humidity: 40, temperature: 20 };
      await sensors.publishAsync("motes/7/env", JSON.stringify(reading), { qos: 1 });
    }
    await sensors.publishAsync("motes/8/env", "no JSON", { qos: 1 });
    await sensors.endAsync();
    await expect
      .poll(async () => (await tidegate(["status", "--config", file()])).out, { timeout: 15_000, interval: 200 })
      .toMatch(/7 +window 3\/16/);
    const { out, code } = await tidegate(["status", "--config", file()]);
    expect(code).toBe(0);
    expect(out).toContain("gw-1");
    expect(out).toMatch(/site +mqtt:.*online/);
    expect(out).not.toContain("! ");
    expect(out).toMatch(/3 readings, 0 inferences/);
    const json = (await tidegate(["status", "--config", file(), "--json"])).json() as DaemonStatus;
    expect(json.streams.env?.sources).toEqual([{ source: "7", verdict: null, window: "3/16" }]);
    expect(json.buffer.streams.env?.readings).toBe(3);
  });

  it("ends with 69 and says how to start the daemon when none runs", async () => {
    await daemon.stop();
    const { code, err } = await tidegate(["status", "--config", file()]);
    expect(code).toBe(69);
    expect(err).toContain("tidegate run");
  });
});

describe("the screen of tidegate status", () => {
  const link = {
    url: "mqtt://site",
    isOnline: true,
    protocol: "5",
    held: 2,
    window: 8192,
    lastEnd: "",
    sessionsLost: 1,
  };
  const stream = {
    ...{ topic: "m/{m}", model: "a", readings: 1_200, inferences: 10, published: 9, dead: 0, refused: 0, shed: 4 },
    dropped: { late: 7, missing: 0 },
    sources: Array.from({ length: 20 }, (_, i) => ({
      source: `m${i}`,
      verdict: i === 15 ? "alarm" : "normal",
      window: "16/16",
    })),
  };
  const status = {
    ...{
      gateway: "gw-1",
      version: "1",
      profile: "p",
      commits: 3,
      uplink: null,
      cloud: null,
      models: [],
      releases: {},
      releaseCounts: null,
    },
    health: {
      status: "degraded",
      isHealthy: true,
      uptimeMs: 93_784_000,
      parts: { disk: { state: "degraded", reason: "full" } },
    },
    site: { ...link, refusedFilters: [] },
    modelProcess: { restarts: 0 },
    streams: { env: stream },
    buffer: { streams: {}, fileBytes: 2048, walBytes: 0, deadLetters: 0, outbox: { messages: 0, oldestAgeSeconds: 0 } },
  } as unknown as DaemonStatus;

  it("shows alarms first, what is wrong, what was left out, and rates once it has seen two", () => {
    const earlier = { ...status, streams: { env: { ...stream, readings: 1_000 } } } as unknown as DaemonStatus;
    const lines = renderStatus(status, { before: { status: earlier, ageMs: 1_000 }, maxSources: 3 });
    const text = lines.join("\n");
    expect(text).toContain("up 1 d 2 h");
    expect(text).toContain("! disk: degraded, full");
    expect(text).toContain("1 sessions lost");
    expect(text).toContain("1,200 readings (200/s)");
    expect(text).toContain("left out: late 7, shed 4");
    expect(lines.findIndex((line) => line.includes("m15"))).toBeLessThan(
      lines.findIndex((line) => line.includes("m0 ")),
    );
    expect(lines.at(-1)).toBe("  … and 17 more");
  });
});
