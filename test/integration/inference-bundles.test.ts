import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { openBundle } from "../../src/inference/bundle.ts";
import { loadVerified, verifyBundle } from "../../src/inference/golden.ts";
import type { HostedModel } from "../../src/inference/hosted-model.ts";
import { LiveModels } from "../../src/inference/live-models.ts";
import { Registry } from "../../src/inference/registry.ts";
import { Scheduler } from "../../src/inference/scheduler.ts";
import { type BundleSpec, writeBundle } from "../support/model-bundle.ts";
import { emptyFolder, eventually, startHost } from "../support/started-host.ts";

/** Four readings of a and b, whose sum is 8 * value. */
const payloads = (value: number): string[] => Array.from({ length: 4 }, () => JSON.stringify({ b: value, a: value }));
const good = { payloads: payloads(1), outputs: { score: 8 }, verdict: "normal" };
const alarm = { payloads: payloads(20), outputs: { score: [160] }, verdict: "alarm", label: null };

const write = (spec: BundleSpec) => openBundle(writeBundle(emptyFolder(), spec));

test("golden samples are run from raw payload to verdict", async () => {
  const host = await startHost();
  expect(await verifyBundle(await write({ golden: [good, alarm] }), host)).toEqual({ samples: 2, faults: [] });
  expect(host.stats.models).toEqual([]);
});

test("each sample that does not come out as asked for is named", async () => {
  const host = await startHost();
  const golden = [
    { ...good, name: "quiet" },
    { ...good, name: "off", outputs: { score: 8.01 } },
    { ...good, verdict: "alarm" },
    { ...good, payloads: payloads(1).slice(1) },
    { ...good, outputs: { rating: 8 } },
    { ...good, payloads: payloads(1).map(() => "{") },
    { ...good, payloads: payloads(1).map(() => '{"a":1}') },
    { ...good, payload: [] },
  ];
  const { samples, faults } = await verifyBundle(await write({ golden }), host);
  expect(samples).toBe(8);
  expect(faults).toEqual([
    "off: output score is 8, not 8.01 within 0.001",
    "sample 3: the verdict is normal, not alarm",
    "sample 4: 3 payloads for a window of 4",
    "sample 5: the card has no output rating",
    expect.stringContaining("sample 6: "),
    "sample 7: output score is NaN, not 8 within 0.001",
    "sample 7: the verdict is unknown, not normal",
    expect.stringContaining("sample 8: "),
  ]);
});

test("a bundle whose samples fail is not left loaded", async () => {
  const host = await startHost();
  const bundle = await write({ golden: [{ ...good, verdict: "alarm" }] });
  await expect(loadVerified(bundle, host)).rejects.toMatchObject({ code: "GOLDEN_FAILED" });
  expect(host.stats.models).toEqual([]);
});

test("a model file that is cut off, no model at all, or of other inputs than its card's is refused, and the process lives", async () => {
  const host = await startHost();
  const { pid } = host;
  const dir = writeBundle(emptyFolder());
  const whole = await openBundle(dir);
  const bytes = whole.modelBytes ?? new Uint8Array();
  for (const bad of [bytes.subarray(0, bytes.length - 20), new Uint8Array(), Buffer.from("not a model")]) {
    writeFileSync(join(dir, "model.onnx"), bad);
    await expect(host.load(await openBundle(dir))).rejects.toMatchObject({ code: "MODEL_UNREADABLE" });
  }
  const other = await write({ card: { inputs: [{ name: "windows", dims: ["batch", 4, 2] }] } });
  const refused = host.load(other);
  await expect(refused).rejects.toMatchObject({ code: "MODEL_CONTRADICTS_CARD" });
  await expect(refused).rejects.toThrow(/window/);
  expect(host.pid).toBe(pid);
});

/** Live models on one folder, looked at often; what was swapped, in order. */
async function live(dir: string) {
  const host = await startHost();
  const swaps: [string, number][] = [];
  const models = new LiveModels({
    registry: new Registry({ dirs: [dir] }),
    host,
    log: silentLog,
    lookEveryMs: 20,
    onSwap: (stream: string, model: HostedModel) => swaps.push([stream, model.version]),
  });
  return { host, models, swaps };
}

/** Replaces a bundle as a whole, by a rename. */
function replaceBundle(dir: string, spec: BundleSpec): void {
  const made = writeBundle(emptyFolder(), spec);
  const next = join(dir, "next");
  mkdirSync(next);
  for (const file of ["model.onnx", "card.yaml", ...(spec.golden ? ["golden.ndjson"] : [])])
    copyFileSync(join(made, file), join(next, file));
  rmSync(join(dir, "sum"), { recursive: true });
  renameSync(next, join(dir, "sum"));
}

test("a changed bundle is verified beside the old one and takes over in every stream that uses it", async () => {
  const dir = emptyFolder();
  writeBundle(dir);
  const { host, models, swaps } = await live(dir);
  expect((await models.use("sum", "s", ["b", "c", "a"])).fields).toEqual(["a", "b"]);
  await models.use("sum", "t", ["a", "b"]);
  expect(host.stats.models).toHaveLength(1);
  await models.start(new AbortController().signal);
  replaceBundle(dir, { version: 2, factor: 3, golden: [{ ...good, outputs: { score: 24 } }] });
  await eventually(() => host.stats.models.length === 1 && swaps.length === 2);
  expect(swaps).toEqual([
    ["s", 2],
    ["t", 2],
  ]);
  await models.stop(1_000);
  expect(models.stats).toMatchObject([{ name: "sum", version: 2, streams: ["s", "t"] }]);
  expect(host.stats.models).toMatchObject([{ name: "sum", version: 2, state: "ready" }]);
});

test("no window is lost or judged twice while models are swapped, also when the process is killed in the middle", async () => {
  const dir = emptyFolder();
  writeBundle(dir);
  const host = await startHost();
  const given: { sequence: number; version: number; score: number }[] = [];
  const lost: number[] = [];
  const scheduler = new Scheduler({
    host,
    clock: systemClock,
    log: silentLog,
    onResults: ({ n, version, sequences, outputs }) => {
      for (let i = 0; i < n; i++)
        given.push({ sequence: sequences[i] ?? -1, version, score: outputs.score?.[i] ?? Number.NaN });
    },
    onLost: ({ n }) => lost.push(n),
  });
  const onSwap = (stream: string, model: HostedModel) => {
    scheduler.swap(stream, model);
    // The old version is still to be freed, and a batch of it may be under way.
    if (model.version === 3 && host.pid !== undefined) process.kill(host.pid, "SIGKILL");
  };
  const models = new LiveModels({ registry: new Registry({ dirs: [dir] }), host, log: silentLog, onSwap });
  const { model } = await models.use("sum", "s", ["a", "b"]);
  scheduler.open({ stream: "s", model, width: 8, whenFull: "hold" });
  let sequence = 0;
  const sender = setInterval(() => {
    // As acknowledgements do: a process that is gone for long must not make the queue overflow.
    if (scheduler.isSaturated) return;
    for (let i = 0; i < 200; i++)
      scheduler.enqueue("s", 0, sequence++, 0, 0, new Float32Array(8).fill((sequence % 10) / 8));
  }, 1);
  for (const version of [2, 3, 4]) {
    replaceBundle(dir, { version, factor: version });
    await models.reload("sum");
    await eventually(() => given.at(-1)?.version === version);
  }
  clearInterval(sender);
  await scheduler.drained();
  expect(lost).toEqual([]);
  expect(given.map((each) => each.sequence)).toEqual(Array.from({ length: sequence }, (_, i) => i));
  const wrong = given.filter((each) => Math.abs(each.score - ((each.sequence + 1) % 10) * each.version) > 1e-3);
  expect(wrong).toEqual([]);
  expect([...new Set(given.map(({ version }) => version))]).toEqual([1, 2, 3, 4]);
  expect(host.stats).toMatchObject({ restarts: 1, models: [{ version: 4, state: "ready" }] });
});

test.each([
  ["its golden samples fail", { version: 2, golden: [{ ...good, verdict: "alarm" }] }, /verdict is normal/],
  ["a field is missing", { version: 2, fields: ["a", "z"] }, /no field z/],
  ["the window is another", { version: 2, size: 5 }, /window/],
  ["it keeps its version", { version: 1, factor: 2 }, /version of its own|version 1/],
  ["its card has faults", { version: 2, card: { task: "guess" } }, /card.yaml/],
] satisfies [string, BundleSpec, RegExp][])(
  "a changed bundle is refused and the old one stays when %s",
  async (_, spec, fault) => {
    const dir = emptyFolder();
    writeBundle(dir);
    const { host, models, swaps } = await live(dir);
    await models.use("sum", "s", ["a", "b"]);
    replaceBundle(dir, spec);
    await models.reload("sum");
    expect(models.stats).toMatchObject([{ name: "sum", version: 1, fault: expect.stringMatching(fault) }]);
    expect(host.stats.models).toMatchObject([{ version: 1, state: "ready" }]);
    expect(swaps).toEqual([]);
  },
);

test("a bundle that goes away keeps running; back again as it was, the fault is gone", async () => {
  const dir = emptyFolder();
  writeBundle(dir);
  const { models } = await live(dir);
  await models.use("sum", "s", ["a", "b"]);
  renameSync(join(dir, "sum"), join(dir, "gone"));
  await models.reload("sum");
  expect(models.stats[0]?.fault).toMatch(/no model sum/);
  renameSync(join(dir, "gone"), join(dir, "sum"));
  await models.reload("sum");
  expect(models.stats[0]).not.toHaveProperty("fault");
});
