import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { frugal } from "../../src/train/trainer-child.ts";
import type { BenchOptions } from "./bench-options.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

/** Goals: step time against PyTorch by threads, memory of the process in MB. */
const plans = [
  { model: "autoencoder", threads: 1, ratio: 1, memory: undefined },
  { model: "mlp", threads: 1, ratio: 1, memory: 150 },
  { model: "lstm", threads: 1, ratio: 1.3, memory: undefined },
  { model: "cnn", threads: 1, ratio: 1.05, memory: 350 },
  { model: "cnn", threads: 2, ratio: 1.2, memory: undefined },
] as const;

const root = join(import.meta.dirname, "../..");
const here = (file: string): string => join(import.meta.dirname, file);
/** As a package has it: compiled. From sources it would take more memory and time to start. */
const worker = join(root, ".cache/bench/worker/test/bench/train-worker.js");
/** A peer that has not ended by then is left out: TensorFlow.js takes seconds for one step of the CNN. */
const patienceMs = 60_000;

type Peer = {
  readonly name: string;
  command(model: string, threads: number, seconds: number): readonly string[];
  readonly environment?: (threads: number) => Record<string, string>;
  /** Threads that it can have. */
  readonly threads: readonly number[];
};

type Figures = {
  readonly msPerStep: number;
  readonly cpuMsPerStep: number;
  readonly memoryMB: number;
  readonly startMs: number;
  readonly version: string;
};

const tidegate: Peer = {
  name: "Tidegate",
  // As the trainer's process is started.
  command: (model, threads, seconds) => [process.execPath, ...frugal.flags, worker, model, `${threads}`, `${seconds}`],
  environment: () => frugal.environment,
  threads: [1, 2],
};

/**
 * Whole training steps at batch 32: rows gathered, loss, gradients, optimizer. Each run is a process of its own that trains
 * for some seconds; peers run by turns, and figures are medians over the rounds.
 */
export async function train({ pairs, seconds, say }: BenchOptions): Promise<Report> {
  const notes: string[] = [];
  spawnSync("sh", [join(root, "scripts/bench-peers.sh")], { stdio: ["ignore", 2, 2] });
  const peers = [...pytorch(notes), ...tensorflow(notes)];
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    say(row);
  };
  for (const { model, threads, ratio, memory } of plans) {
    const taking = peers.filter((peer) => peer.threads.includes(threads));
    const runs = new Map<Peer, Figures[]>([tidegate, ...taking].map((peer) => [peer, []]));
    for (let round = 0; round < pairs; round++)
      for (const [peer, figures] of runs) {
        const result = await run(peer, model, threads, seconds);
        if (typeof result !== "string") figures.push(result);
        else if (peer === tidegate) throw new Error(result);
        else {
          notes.push(`${model}, ${peer.name}: ${result}`);
          runs.delete(peer);
        }
      }
    const own = runs.get(tidegate) ?? [];
    const what = `${model}, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
    const middle = (figures: readonly Figures[], key: "msPerStep" | "cpuMsPerStep" | "memoryMB" | "startMs"): number =>
      median(figures.map((each) => each[key]));
    let goal: { goal: string; limit: number } | undefined = { goal: `<= ${ratio} x`, limit: ratio };
    for (const [peer, figures] of runs) {
      if (peer === tidegate) continue;
      const against = figures[0]?.version ?? peer.name;
      const shares = (key: "msPerStep" | "cpuMsPerStep"): number =>
        median(own.map((each, round) => each[key] / (figures[round]?.[key] ?? Number.NaN)));
      const wall = shares("msPerStep");
      // The goal is held against the quickest PyTorch, which is the first peer.
      const held = goal && against.startsWith("PyTorch") ? { goal: goal.goal, met: wall <= goal.limit } : {};
      if ("met" in held) goal = undefined;
      add({ what: `${what}: step`, value: middle(own, "msPerStep"), unit: "ms", against, ratio: wall, ...held });
      if (threads === 1)
        add({
          ...{ what: `${what}: processor time of a step`, value: middle(own, "cpuMsPerStep"), unit: "ms" },
          ...{ against, ratio: shares("cpuMsPerStep") },
        });
    }
    if (runs.size === 1) add({ what: `${what}: step`, value: middle(own, "msPerStep"), unit: "ms" });
    if (memory !== undefined) {
      const most = Math.max(...own.map(({ memoryMB }) => memoryMB));
      const row = { what: `${what}: memory, most`, value: most, unit: "MB RSS", goal: `<= ${memory} MB` };
      add({ ...row, met: most <= memory });
    }
    const start = middle(own, "startMs") / 1000;
    const row = { what: `${what}: process to first step`, value: start, unit: "s", goal: "<= 1 s" };
    add({ ...row, met: start <= 1 });
  }
  notes.push(
    "Start and memory are of a process that has the compiled trainer alone, with 4,096 (autoencoder: 8,192) rows of data.",
    "Memory is the largest resident set (RSS): all of Node's and onnxruntime's pages count, also those that other processes share.",
  );
  return { name: "train", machine: machine(), rows, notes };
}

/** PyTorch where a python3 has it, with OpenBLAS first when there is one. */
function pytorch(notes: string[]): Peer[] {
  const python = ["/usr/bin/python3", "python3"].find(
    (each) => spawnSync(each, ["-c", "import torch"], { stdio: "ignore" }).status === 0,
  );
  if (python === undefined) {
    notes.push("No python3 here has torch (Debian: python3-torch).");
    return [];
  }
  const peer: Peer = {
    name: "PyTorch",
    command: (model, threads, seconds) => [python, here("peers/train-pytorch.py"), model, `${threads}`, `${seconds}`],
    threads: [1, 2],
  };
  const library = join(root, ".cache/openblas/usr/lib");
  const folder = existsSync(library)
    ? readdirSync(library, { recursive: true, encoding: "utf8" }).find((name) => name.endsWith("openblas-pthread"))
    : undefined;
  if (folder === undefined) {
    notes.push("No OpenBLAS could be had: PyTorch ran with the BLAS that it links, which may be a slow one.");
    return [peer];
  }
  const environment = (threads: number) => ({
    LD_LIBRARY_PATH: join(library, folder),
    OPENBLAS_NUM_THREADS: `${threads}`,
  });
  return [{ ...peer, name: "PyTorch with OpenBLAS", environment }, peer];
}

function tensorflow(notes: string[]): Peer[] {
  const folder = join(root, ".cache/tfjs");
  if (!existsSync(join(folder, "node_modules"))) {
    notes.push("TensorFlow.js could not be fetched.");
    return [];
  }
  return ["cpu", "wasm"].map((backend) => ({
    name: `TensorFlow.js on ${backend}`,
    command: (model, _threads, seconds) => [
      ...[process.execPath, here("peers/train-tfjs.ts"), model, backend, `${seconds}`, folder],
    ],
    threads: [1],
  }));
}

/** One process; what went wrong, when it did. */
async function run(peer: Peer, model: string, threads: number, seconds: number): Promise<Figures | string> {
  const [command = "", ...parameters] = peer.command(model, threads, seconds);
  const began = performance.now();
  const child = spawn(command, parameters, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: patienceMs,
    env: { ...process.env, ...peer.environment?.(threads) },
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-10_000);
  });
  let startMs = Number.NaN;
  let last = "";
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "first") startMs = performance.now() - began;
    else last = line;
  }
  if (last.startsWith("{")) return { ...JSON.parse(last), startMs };
  const reason = /^\w*Error: .*/m.exec(said)?.[0];
  return reason ?? `gave no figures within ${patienceMs / 1000} s`;
}
