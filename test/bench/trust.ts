import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErasureRequest } from "../../src/base/erasure-request.ts";
import type { Frame } from "../../src/base/frame.ts";
import { sleep } from "../../src/base/lifecycle.ts";
import { silentLog } from "../../src/base/log.ts";
import { emptyCommit } from "../../src/buffer/commit.ts";
import { Journal } from "../../src/buffer/journal.ts";
import type { BenchOptions } from "./bench-options.ts";
import { machine, percentile, type Report, type Row } from "./measure.ts";
import { commandCost, sealingCost } from "./sealing-cost.ts";

const defaultReadings = 1_000_000;
const frameReadings = 2_000;
const commitEveryMs = 20;
const [erased, live] = ["erased", "live"] as const;

/** Four sources in turn, two fields that waver as temperature and humidity do. */
export function frame(stream: string, first: number, count: number): Frame {
  const index = Array.from({ length: count }, (_, i) => first + i);
  return {
    ...{ stream, fields: ["temperature", "humidity"], first, count, boot: "bench", wallOffset: 1.7e12 },
    source: Uint32Array.from(index, (n) => n % 4),
    ts: Float64Array.from(index, (n) => 1.7e12 + n * 250),
    arrived: Float64Array.from(index, (n) => n * 250 + (n % 17)),
    flags: new Uint8Array(count).fill(1),
    values: [
      Float64Array.from(index, (n) => Math.round(2_000 + 300 * Math.sin(n / 5_000) + ((n * 7_919) % 13)) / 100),
      Float64Array.from(index, (n) => Math.round(4_500 + 900 * Math.cos(n / 7_000) + ((n * 104_729) % 29)) / 100),
    ],
  };
}

type Erasing = {
  readonly hiddenMs: number;
  readonly doneMs: number;
  /** CPU time of this process meanwhile, its commits included. */
  readonly cpuMs: number;
  readonly quiet: number[];
  readonly busy: number[];
};

/** Fills a journal, then erases while commits of 20 readings come to another stream, and measures how long they take. */
async function erase(readings: number, request: ErasureRequest, seconds: number): Promise<Erasing> {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-bench-trust-"));
  const keep = { maxBytes: 2 ** 40, maxAge: 1e15, priority: 5 };
  const streams = [erased, live].map((name) => ({ name, fields: ["temperature", "humidity"], keep }));
  const limits = { maxBytes: 2 ** 31, minFree: { bytes: 0 } };
  const storageRoot = new Uint8Array(32).fill(7);
  const journal = new Journal({ dir, storageRoot, streams, limits, blockReadings: 1_024, log: silentLog });
  await journal.start(new AbortController().signal);
  try {
    const sources = [0, 1, 2, 3].map((n) => ({ mote: `m${n}` }));
    await journal.commit({ ...emptyCommit, sources: [erased, live].map((stream) => ({ stream, at: 0, sources })) });
    for (let first = 0; first < readings; first += frameReadings)
      await journal.commit({
        ...emptyCommit,
        frames: [frame(erased, first, Math.min(frameReadings, readings - first))],
      });
    await journal.checkpoint();
    let next = 0;
    let latencies: number[] = [];
    let isEnding = false;
    const ingest = (async () => {
      while (!isEnding) {
        const start = performance.now();
        await journal.commit({ ...emptyCommit, frames: [frame(live, next, 20)] });
        latencies.push(performance.now() - start);
        next += 20;
        await sleep(commitEveryMs);
      }
    })();
    await sleep(seconds * 1_000);
    const quiet = latencies;
    latencies = [];
    const cpu = process.cpuUsage();
    const start = performance.now();
    await journal.eraseBegin(request);
    const hiddenMs = performance.now() - start;
    while (!(await journal.eraseStep()));
    await journal.eraseEnd(Buffer.from("{}"));
    const doneMs = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    const cpuMs = (user + system) / 1_000;
    const busy = latencies;
    isEnding = true;
    await ingest;
    return { hiddenMs, doneMs, cpuMs, quiet, busy };
  } finally {
    await journal.stop(30_000);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What sealing costs, and what erasing takes: a stream, and one source out of four, of a million readings, while others are committed. */
export async function trust(options: BenchOptions): Promise<Report> {
  const { readings = defaultReadings, seconds, only, say } = options;
  const rows: Row[] = [];
  const add = (row: Row) => {
    rows.push(row);
    say(row);
  };
  if (only !== "erase") {
    add(commandCost());
    add(await sealingCost(options));
  }
  if (only === "seal") return { name: "trust", machine: machine(), rows, notes: [] };
  const cases = [
    ["one stream", { stream: erased }],
    ["one source out of four", { stream: erased, source: "m1" }],
  ] as const;
  for (const [what, request] of cases) {
    const { hiddenMs, doneMs, cpuMs, quiet, busy } = await erase(readings, request, Math.min(seconds, 5));
    const goal = "2 s";
    if (request.stream && !("source" in request)) {
      add({
        what: `${what}: until nothing opens (keys dead)`,
        value: hiddenMs / 1_000,
        unit: "s",
        goal,
        met: hiddenMs <= 2_000,
      });
      add({ what: `${what}: until rows and pages are gone`, value: doneMs / 1_000, unit: "s" });
    } else {
      add({ what: `${what}: until nothing is read`, value: hiddenMs / 1_000, unit: "s" });
      add({
        what: `${what}: until nothing opens (keys dead), pages gone`,
        value: doneMs / 1_000,
        unit: "s",
        goal,
        met: doneMs <= 2_000,
      });
    }
    add({ what: `${what}: CPU time meanwhile`, value: cpuMs / 1_000, unit: "s" });
    const [before, meanwhile] = [percentile(quiet, 0.99), percentile(busy, 0.99)];
    const ratio = meanwhile / before;
    const latency = { value: meanwhile, unit: "ms", against: `${before.toFixed(1)} ms before`, ratio };
    add({ what: `${what}: commit p99 meanwhile (${busy.length} commits)`, ...latency, goal: "2 x", met: ratio <= 2 });
  }
  return { name: "trust", machine: machine(), rows, notes: [`${readings} readings of four sources in one stream`] };
}
