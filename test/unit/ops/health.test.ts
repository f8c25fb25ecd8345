import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { daemonParts } from "../../../src/ops/daemon-parts.ts";
import { Health, type HealthChange, judgeAll, judgePart, type PartFacts } from "../../../src/ops/health.ts";
import { Heartbeat } from "../../../src/ops/heartbeat.ts";

function daemon() {
  const clock = new FakeClock();
  const changes: HealthChange[] = [];
  const health = new Health({ clock, parts: daemonParts, onChange: (change) => changes.push(change) });
  return { clock, health, changes };
}

function readyDaemon() {
  const all = daemon();
  for (const { name, need } of daemonParts) if (need !== "optional") all.health.ready(name);
  return all;
}

const facts: PartFacts = {
  name: "p",
  need: "vital",
  slowMs: 10,
  stallMs: 100,
  isReady: true,
  failure: null,
  trouble: null,
  owedSince: null,
  lastProgress: null,
};

describe("judging a part", () => {
  it.each([
    ["ok", {}],
    ["starting", { isReady: false }],
    ["ok", { owedSince: 990 }],
    ["degraded", { owedSince: 989 }],
    ["degraded", { owedSince: 900 }],
    ["stalled", { owedSince: 899 }],
    ["stalled", { owedSince: 899, isReady: false }],
    ["stalled", { owedSince: 899, trouble: "t" }],
    ["degraded", { trouble: "t" }],
    ["starting", { trouble: "t", isReady: false }],
    ["degraded", { trouble: "t", isReady: false, need: "optional" }],
    ["failed", { failure: "f", owedSince: 1, trouble: "t", isReady: false }],
  ] as const)("is %s for %j", (state, more) => {
    expect(judgePart({ ...facts, ...more }, 1000).state).toBe(state);
  });

  it("never fails the whole for an optional part", () => {
    expect(judgeAll([{ need: "required", state: "ok" }])).toBe("ok");
    for (const state of ["failed", "stalled", "degraded"] as const) {
      expect(judgeAll([{ need: "optional", state }])).toBe("degraded");
    }
    expect(judgeAll([{ need: "required", state: "failed" }])).toBe("failed");
    expect(judgeAll([{ need: "vital", state: "starting" }])).toBe("starting");
  });
});

describe("health", () => {
  it("is unhealthy until configuration, keys, journal and models are ready, and needs no broker", () => {
    const { health } = daemon();
    for (const part of ["loop", "configuration", "keys", "journal"]) health.ready(part);
    expect(health.document).toMatchObject({ status: "starting", isHealthy: false });
    health.ready("models");
    expect(health.document).toMatchObject({ status: "ok", isHealthy: true });
  });

  it("stays healthy and alive without brokers, disk and notifier", () => {
    const { health } = readyDaemon();
    for (const part of ["site", "cloud", "disk", "notifier"]) health.fail(part, "away");
    expect(health.document).toMatchObject({ status: "degraded", isHealthy: true });
    expect(health.document.parts.site).toMatchObject({ state: "failed", reason: "away" });
    expect(health.isAlive).toBe(true);
  });

  it("takes a slow fsync for a trouble, and a journal without a sign for minutes for dead", () => {
    const { clock, health, changes } = readyDaemon();
    changes.length = 0;
    health.expect("journal");
    clock.advance(60_000);
    expect(health.document).toMatchObject({ status: "degraded", isHealthy: true });
    expect(health.isAlive).toBe(true);
    clock.advance(240_001);
    expect(health.isAlive).toBe(false);
    expect(health.document).toMatchObject({ status: "failed", isHealthy: false });
    health.progress("journal");
    expect(health.isAlive).toBe(true);
    expect(changes.map(({ from, state }) => `${from}>${state}`)).toEqual([
      "ok>degraded",
      "degraded>stalled",
      "stalled>ok",
    ]);
  });

  it("takes an idle part for well, however long it is idle", () => {
    const { clock, health } = readyDaemon();
    health.expect("models");
    health.progress("models");
    clock.advance(86_400_000);
    expect(health.document.status).toBe("ok");
    expect(health.document.parts.models?.lastProgressMs).toBe(86_400_000);
  });

  it("counts owed work from its first announcement, and a sign of life does not excuse it", () => {
    const { clock, health } = readyDaemon();
    health.expect("models", "batch");
    for (let i = 0; i < 61; i++) {
      clock.advance(1_000);
      health.expect("models", "batch");
      health.expect("models", "ping");
      health.progress("models", "ping");
    }
    expect(health.stateOf("models").state).toBe("stalled");
    health.progress("models", "batch");
    expect(health.stateOf("models").state).toBe("ok");
  });

  it("is not led astray by a wall clock that jumps", () => {
    const { clock, health } = readyDaemon();
    health.expect("journal");
    clock.jump(0);
    clock.jump(4e12);
    expect(health.document.status).toBe("ok");
    expect(health.document.uptimeMs).toBe(0);
  });

  it("says in one line what is wrong", () => {
    const { health } = readyDaemon();
    expect(health.summary).toBe("ok");
    health.degrade("disk", "3 % free");
    expect(health.summary).toBe("degraded: disk degraded (3 % free)");
    health.ready("disk");
    expect(health.summary).toBe("ok");
  });
});

describe("the heartbeat", () => {
  function beating(probes: Record<string, () => Promise<unknown>>) {
    const { clock, health } = readyDaemon();
    const pets: number[] = [];
    const summaries: string[] = [];
    const heartbeat = new Heartbeat({
      health,
      probes,
      intervalMs: 5_000,
      clock,
      pet: () => pets.push(clock.monotonic()),
      onSummary: (text) => summaries.push(text),
    });
    const beat = async (advanceMs = 5_000) => {
      clock.advance(advanceMs);
      heartbeat.beat();
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { health, pets, summaries, beat };
  }

  it("pets while every vital part answers, and stops when one no longer does", async () => {
    let answers = true;
    const probe = () => (answers ? Promise.resolve() : new Promise(() => {}));
    const { pets, beat } = beating({ models: probe, journal: () => Promise.resolve() });
    for (let i = 0; i < 5; i++) await beat();
    expect(pets).toHaveLength(5);
    answers = false;
    for (let i = 0; i < 13; i++) await beat();
    const soFar = pets.length;
    for (let i = 0; i < 5; i++) await beat();
    expect(soFar).toBeGreaterThan(5);
    expect(pets).toHaveLength(soFar);
  });

  it("asks a part that does not answer only once", async () => {
    let asked = 0;
    const never = () => {
      asked++;
      return new Promise(() => {});
    };
    const { beat } = beating({ journal: never });
    for (let i = 0; i < 10; i++) await beat();
    expect(asked).toBe(1);
  });

  it("takes a refusal for a sign of life that degrades, until the part answers well again", async () => {
    let refusal: Error | null = new Error("disk full");
    const { health, pets, summaries, beat } = beating({
      journal: () => (refusal ? Promise.reject(refusal) : Promise.resolve()),
    });
    for (let i = 0; i < 100; i++) await beat();
    expect(pets).toHaveLength(100);
    expect(health.stateOf("journal")).toEqual({ state: "degraded", reason: "disk full" });
    refusal = null;
    await beat();
    await beat();
    expect(summaries).toEqual(["ok", "degraded: journal degraded (disk full)", "ok"]);
  });

  it("tells when the loop was held up", async () => {
    const { health, beat } = beating({});
    await beat();
    await beat(9_000);
    expect(health.stateOf("loop")).toEqual({ state: "degraded", reason: "held up for 4000 ms" });
    await beat();
    expect(health.stateOf("loop").state).toBe("ok");
  });
});
