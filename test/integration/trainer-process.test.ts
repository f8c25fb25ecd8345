import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type TrainerOptions, trainInChild } from "../../src/train/trainer-child.ts";
import type { TrainingEvent, TrainingJob } from "../../src/train/training-job.ts";
import { seriesCard, seriesJob, seriesModel, seriesReadings } from "../support/series.ts";
import { emptyFolder, eventually } from "../support/started-host.ts";

type Told = { readonly events: TrainingEvent[]; pid: number };

function run(job: TrainingJob, differing: Partial<TrainerOptions> = {}) {
  const told: Told = { events: [], pid: 0 };
  const result = trainInChild({
    job,
    data: seriesReadings(),
    signal: new AbortController().signal,
    // A machine that does other work would let a niced process wait for minutes.
    niceness: 0,
    onStart: (pid) => {
      told.pid = pid;
    },
    ...differing,
    onEvent: (event) => {
      told.events.push(event);
      differing.onEvent?.(event);
    },
  });
  result.catch(() => {});
  return { told, result };
}

const checkpointIn = (dir: string, resume: "auto" | "require" | "fresh" = "auto", key?: Uint8Array) => ({
  checkpoint: { file: join(dir, "m.checkpoint"), everyMs: 100, resume, ...(key ? { key } : {}) },
});
/** Long enough to be killed in the midst of it. */
const long = { ...seriesCard().train, epochs: 60, rate: 1e-3, batch: 4 } as TrainingJob["settings"];

test("a job comes back with a better model, measured beside the one in use", async () => {
  const { told, result } = run(seriesJob());
  const { ended, history, candidate, manifest } = await result;
  expect(ended).toBe("epochs");
  expect(history).toHaveLength(8);
  expect(manifest).toMatchObject({ readings: 1_200, from: "stream tank" });
  expect(candidate?.evaluation.metrics.mse).toBeLessThan(0.5 * (candidate?.active.metrics.mse ?? 0));
  expect(candidate?.gate).toMatchObject({ outcome: "passed", reasons: [expect.stringMatching(/it is better/)] });
  expect(candidate?.model.length).toBe(seriesModel().length);
  expect(told.events[0]).toMatchObject({ event: "data" });
  expect(told.events.at(-1)).toMatchObject({ event: "progress", epoch: 8, ended: { epoch: 8 } });
});

test("the process runs when nothing else does, is the first to go when memory runs out, and gone afterwards; the parent maps no onnxruntime", async () => {
  const facts: string[] = [];
  const policies = new Set<number>();
  const { told, result } = run(seriesJob(), {
    niceness: 19,
    onEvent: () => {
      if (facts.length > 0) return;
      facts.push(readFileSync(`/proc/${told.pid}/oom_score_adj`, "utf8").trim());
      for (const thread of readdirSync(`/proc/${told.pid}/task`)) {
        const fields = readFileSync(`/proc/${told.pid}/task/${thread}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
        policies.add(Number(fields[38]));
        if (thread === `${told.pid}`) facts.push(fields[16] ?? "");
      }
    },
  });
  await result;
  expect(facts).toEqual(["1000", "19"]);
  expect([...policies], "SCHED_IDLE, every thread").toEqual([5]);
  await eventually(() => !existsSync(`/proc/${told.pid}`));
  expect(readFileSync("/proc/self/maps", "utf8").includes("onnxruntime")).toBe(false);
});

test.each([
  ["SIGKILL", undefined],
  ["SIGKILL", randomBytes(32)],
] as const)("killed with %s, it goes on from its checkpoint and ends with the same bytes", async (signal, key) => {
  const straight = await run(seriesJob({ settings: long })).result;
  const dir = emptyFolder();
  const job = seriesJob({ settings: long, ...checkpointIn(dir, "auto", key) });
  const first = run(job, {
    onEvent: (event) => {
      if (event.event === "progress" && existsSync(join(dir, "m.checkpoint"))) process.kill(first.told.pid, signal);
    },
  });
  await expect(first.result).rejects.toMatchObject({ code: "TRAINER_ENDED", message: expect.stringMatching(/killed/) });
  const second = run(job);
  const { candidate } = await second.result;
  const resumed = second.told.events.find(({ event }) => event === "resumed");
  expect(resumed).toMatchObject({ standing: "exact", reasons: [] });
  expect(resumed).toHaveProperty(
    "epoch",
    expect.toSatisfy((epoch: number) => epoch >= 1 && epoch < 60),
  );
  expect(Buffer.from(candidate?.model ?? []).equals(Buffer.from(straight.candidate?.model ?? []))).toBe(true);
  expect(existsSync(join(dir, "m.checkpoint"))).toBe(false);
});

/** Leaves a checkpoint in the folder. */
async function stopped(job: TrainingJob): Promise<void> {
  const stop = new AbortController();
  const { result } = run(job, {
    signal: stop.signal,
    onEvent: (event) => {
      if (event.event === "progress" && event.epoch > 2) stop.abort();
    },
  });
  expect(await result).toMatchObject({ ended: "stopped" });
}

test("asked to stop, it saves and goes on later; under other circumstances it says so", async () => {
  const dir = emptyFolder();
  const job = seriesJob({ settings: long, ...checkpointIn(dir) });
  await stopped(job);
  const { told, result } = run({ ...job, threads: 2 });
  await result;
  expect(told.events.find(({ event }) => event === "resumed")).toMatchObject({
    standing: "loose",
    reasons: ["it was made with 1 threads, not 2"],
  });
});

test("when readings were erased it starts again; one of another model is refused, and replaced where nobody asked for it", async () => {
  const dir = emptyFolder();
  const job = seriesJob({ settings: long, ...checkpointIn(dir) });
  await stopped(job);
  const erased = run(job, { data: seriesReadings(1_100) });
  await erased.result;
  expect(erased.told.events.find(({ event }) => event === "anew")).toMatchObject({
    reasons: [expect.stringMatching(/of its \d+ examples are gone/)],
  });
  await stopped(job);
  const other = { ...job, model: seriesModel({ start: 0.2 }) };
  await expect(run({ ...other, ...checkpointIn(dir, "require") }).result).rejects.toMatchObject({
    code: "CHECKPOINT_MISMATCH",
    message: expect.stringMatching(/another model/),
  });
  const anew = run(other);
  await anew.result;
  expect(anew.told.events.find(({ event }) => event === "anew")).toBeDefined();
});

test("it waits while its gate is closed, and goes on", async () => {
  const stop = new AbortController();
  // Long enough for the gate to be looked at, however quick the machine is.
  const settings = { ...long, epochs: 5_000 } as TrainingJob["settings"];
  const { told, result } = run(seriesJob({ settings, limits: { minFreeBytes: 2 ** 60 } }), {
    signal: stop.signal,
    onEvent: ({ event }) => {
      if (event === "waiting") stop.abort();
    },
  });
  expect(await result).toMatchObject({ ended: "stopped" });
  expect(told.events.find(({ event }) => event === "waiting")).toMatchObject({
    reason: expect.stringMatching(/memory are free/),
  });
});

test.each([
  [{ loss: undefined }, "CARD_UNTRAINABLE"],
  [{ trainable: { w9: "averaged" } }, "CARD_UNTRAINABLE"],
  [{ loss: { kind: "mse", output: "nowhere" } }, "MODEL_UNTRAINABLE"],
  [{ target: { kind: "next", horizon: 1, fields: ["depth"] } }, "DATA_UNUSABLE"],
])("a card with %j is refused with %s", async (differing, code) => {
  const { result } = run(seriesJob({ card: seriesCard(differing) }));
  await expect(result).rejects.toMatchObject({ code });
});

test("too few readings, or readings that are no numbers, are said as such", async () => {
  await expect(run(seriesJob(), { data: seriesReadings(26) }).result).rejects.toMatchObject({
    code: "DATA_TOO_LITTLE",
  });
  const settings = { ...long, rate: 1e30, optimizer: { kind: "sgd" } } as TrainingJob["settings"];
  const { ended, fault, candidate } = await run(seriesJob({ settings })).result;
  expect({ ended, code: fault?.code, candidate }).toEqual({ ended: "diverged", code: "TRAINING_DIVERGED" });
});
