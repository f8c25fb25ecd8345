import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Tree } from "../../../src/config/layers.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { overlayNeeds } from "../../../src/control/overlay-rules.ts";
import { judgeTrial, type Vitals } from "../../../src/control/trial-verdict.ts";
import { Twin } from "../../../src/control/twin.ts";
import type { TwinOutcome } from "../../../src/control/twin-state.ts";
import { TwinStore, twinFile } from "../../../src/control/twin-store.ts";

const well: Vitals = {
  ...{ seconds: 100, isHealthy: true, siteOnline: true, cloudOnline: true },
  ...{ messagesPerSecond: 10, inferencesPerSecond: 10, faultShare: 0.01, memoryBytes: 100e6 },
};

describe("the verdict of a trial", () => {
  it.each([
    ["commit", {}, {}],
    ["commit", {}, { inferencesPerSecond: 5, memoryBytes: 120e6, faultShare: 0.05 }],
    ["revert", {}, { isHealthy: false }],
    ["revert", {}, { siteOnline: false }],
    ["revert", {}, { cloudOnline: false }],
    ["revert", {}, { inferencesPerSecond: 0 }],
    ["revert", {}, { faultShare: 0.3 }],
    ["revert", {}, { memoryBytes: 400e6 }],
    // Sensors that fell silent are not its fault.
    ["commit", {}, { messagesPerSecond: 0, inferencesPerSecond: 0 }],
    // A broker that was away already tells nothing.
    ["wait", { siteOnline: false }, { siteOnline: false, inferencesPerSecond: 0, messagesPerSecond: 0 }],
    ["commit", { cloudOnline: false }, { cloudOnline: false }],
    ["commit", { siteOnline: false, messagesPerSecond: 0, inferencesPerSecond: 0 }, {}],
  ])("is to %s: %j, then %j", (verdict, before, now) => {
    expect(judgeTrial({ ...well, ...before }, { ...well, ...now }).verdict).toBe(verdict);
  });
});

describe("what an overlay needs", () => {
  it.each([
    [{ streams: { env: { alarm: { onAfter: 2 } } } }, "config.set", { stream: "env" }, []],
    [{ streams: { env: { clean: { range: { t: [0, 1] } } } } }, "config.set", { stream: "env" }, []],
    [{ streams: { a: { uplink: "raw" }, b: { uplink: "raw" } } }, "config.set", {}, []],
    [{ gateway: { logLevel: "debug" }, streams: { a: { uplink: "raw" } } }, "config.set", {}, []],
    [{ cloud: { dataKey: "x" } }, "config.guarded", {}, []],
    [{ sensors: { tls: { ca: "x" } } }, "config.guarded", {}, []],
    [{ policy: "x" }, "config.guarded", {}, []],
    [{ gateway: { dataDir: "/x" } }, "config.set", {}, ["gateway.dataDir"]],
    // However many sign: verification is not turned off from afar.
    [{ cloud: { tls: { insecureSkipVerify: true } } }, "config.set", {}, ["cloud.tls.insecureSkipVerify"]],
    [{ sensors: { tls: { insecureSkipVerify: true } } }, "config.set", {}, ["sensors.tls.insecureSkipVerify"]],
    [{ control: { socket: "/x" } }, "config.set", {}, ["control.socket"]],
  ])("%j", (overlay, action, resource, errors) => {
    const needs = overlayNeeds(overlay as Tree);
    expect({ ...needs, errors: needs.errors.map(({ path }) => path) }).toEqual({ action, resource, errors });
  });
});

describe("the twin", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tidegate-twin-"));
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    rmSync(dir, { recursive: true, force: true });
  });

  const text =
    "sensors: { url: mqtt://x }\nstreams: { env: { topic: a, fields: { t: t } } }\ncontrol: { trialWindow: 10s }\n";
  const newTwin = (config = text) =>
    new Twin({
      store: new TwinStore(dir, new Uint8Array(32).fill(3)),
      load: (remote) => loadConfig({ text: config, baseDir: "/", remote }),
      clock: new FakeClock(),
      log: silentLog,
    });
  const overlay = (version: number, onAfter: unknown) => {
    return { version, hash: `h${version}`, config: { streams: { env: { alarm: { onAfter } } } } as Tree };
  };
  const onAfterOf = (twin: Twin) => twin.load().config.streams.env?.alarm.onAfter;
  function attached(twin: Twin) {
    const outcomes: (TwinOutcome | null)[] = [];
    const host = { vitals: well, applied: 0, fault: null as string | null, outcomes };
    twin.attach({
      vitals: () => host.vitals,
      changed: (outcome) => void outcomes.push(outcome),
      apply: async () => {
        host.applied++;
        return host.fault;
      },
    });
    return host;
  }
  const past = (ms: number) => vi.advanceTimersByTimeAsync(ms);

  it("waits for the site's broker when that was away before, and is judged once it is back", async () => {
    const twin = newTwin();
    const host = attached(twin);
    host.vitals = { ...well, siteOnline: false };
    await twin.propose(overlay(1, 2), null, []);
    await past(60_000);
    expect(twin.report.trial).toMatchObject({ version: 1 });
    host.vitals = well;
    await past(11_000);
    await vi.waitFor(() => expect(twin.report.last).toMatchObject({ outcome: "committed" }));
  });

  it("goes back to the last good one, not to nothing", async () => {
    const twin = newTwin();
    const host = attached(twin);
    await twin.propose(overlay(1, 2), null, []);
    await past(11_000);
    await vi.waitFor(() => expect(twin.report.good).toMatchObject({ version: 1 }));
    await twin.propose(overlay(2, 9), null, []);
    expect(onAfterOf(twin)).toBe(9);
    host.vitals = { ...well, isHealthy: false };
    await past(11_000);
    await vi.waitFor(() => expect(host.applied).toBe(3));
    expect(onAfterOf(twin)).toBe(2);
    expect(twin.report.last).toMatchObject({ version: 2, outcome: "reverted", reason: "the gateway is not healthy" });
    // The same again, as a broker repeats it, is not tried again.
    await twin.propose(overlay(2, 9), null, []);
    expect(host.applied).toBe(3);
  });

  it("does not take the faults of one that was not judged for how things are", async () => {
    const twin = newTwin();
    const host = attached(twin);
    await twin.propose(overlay(1, 2), null, []);
    host.vitals = { ...well, inferencesPerSecond: 0 };
    await past(5_000);
    await twin.propose(overlay(2, 3), null, []);
    await past(11_000);
    await vi.waitFor(() => expect(twin.report.last).toMatchObject({ version: 2, outcome: "reverted" }));
    expect(onAfterOf(twin)).toBe(1);
  });

  it("leaves out what is on trial where starts cannot be counted: a full disk keeps no gateway down", async () => {
    const first = newTwin();
    attached(first);
    await first.propose(overlay(1, 2), null, []);
    const full = vi.spyOn(TwinStore.prototype, "save").mockRejectedValue(new Error("ENOSPC"));
    const next = newTwin();
    await next.begin();
    full.mockRestore();
    expect(onAfterOf(next)).toBe(1);
    expect(next.report).toMatchObject({ isLeftOut: true, trial: { version: 1 } });
  });

  it("is left out, not fatal, when the site's own file no longer goes with it; and comes back with that", async () => {
    const first = newTwin();
    attached(first);
    await first.propose(overlay(1, 2), null, []);
    await past(11_000);
    await vi.waitFor(() => expect(first.report.good).toMatchObject({ version: 1 }));
    const renamed = newTwin(text.replace("env", "air"));
    expect(Object.keys(renamed.load().config.streams)).toEqual(["air"]);
    expect(renamed.report).toMatchObject({ isLeftOut: true, applied: null, good: { version: 1 } });
    expect(onAfterOf(newTwin())).toBe(2);
  });

  it("gives up what is on trial for faults of configuration alone", async () => {
    const staged = newTwin();
    attached(staged);
    await staged.propose(overlay(1, 2), null, []);
    const next = newTwin();
    await next.begin();
    expect(await next.startFailed(new TidegateError("DATA_DIR_IN_USE", { dir: "x" }))).toBe(false);
    expect(await next.startFailed(new TidegateError("KEY_MISSING", { dir: "x", file: "y" }))).toBe(false);
    expect(await next.startFailed(new TidegateError("SECRET_UNREADABLE", { file: "x", reason: "y" }))).toBe(true);
    expect(onAfterOf(next)).toBe(1);
    expect(attached(next).outcomes).toEqual([expect.objectContaining({ outcome: "reverted" })]);
  });

  it("starts without a file that somebody else wrote", async () => {
    writeFileSync(twinFile(dir), "garbage that is long enough to be a sealed file of some kind");
    const twin = newTwin();
    expect(onAfterOf(twin)).toBe(1);
    await twin.propose(overlay(1, 2), null, []);
    expect(onAfterOf(newTwin())).toBe(2);
  });
});
