/** Trains one of the benchmark's models with the project's own trainer: MODEL THREADS SECONDS; prints as its peers do. */
import { seededRandom } from "../../src/base/random.ts";
import { sizeOf, tensor } from "../../src/base/tensor.ts";
import { loadSession } from "../../src/drivers/onnxruntime.ts";
import { collector } from "../../src/train/collector.ts";
import { Trainer, type TrainerInputs } from "../../src/train/trainer.ts";
import { workloads } from "./train-models.ts";

const [name = "", threads = "1", seconds = "2"] = process.argv.slice(2);
const write = workloads[name];
if (!write) throw new Error(`no model ${name}`);
const { card, model, dims, rows, classes } = write();
const random = seededRandom(2);
const { train: settings } = card;
if (!settings) throw new Error("the card has no settings");
// In place: lists of numbers on the way would count as the trainer's memory.
const numbers = new Float32Array(rows * sizeOf(dims));
for (let index = 0; index < numbers.length; index++) numbers[index] = random();
const labels = BigInt64Array.from({ length: rows }, () => BigInt(Math.floor(random() * classes)));
const inputs: TrainerInputs = {
  card,
  model,
  settings,
  data: {
    data: {
      rows: tensor("float32", [rows, ...dims], numbers),
      labels: tensor("int64", [rows], labels),
    },
    inputs: { x: { data: "rows", type: "float32", dims } },
    target: classes === 0 ? { value: "x" } : { data: "labels", type: "int64", dims: [] },
    first: Int32Array.from({ length: rows }, (_, row) => row),
    weights: new Float32Array(rows).fill(1),
  },
  split: { train: Int32Array.from({ length: rows }, (_, row) => row), validation: new Int32Array() },
  load: (bytes) => loadSession(bytes, { threads: Number(threads) }),
};
const trainer = await Trainer.open(inputs);
const stop = new AbortController();
type Mark = { steps: number; at: number; cpu: number };
const stepsPerEpoch = Math.ceil(rows / settings.batch);
let begin: Mark | undefined;
let isFirst = true;
let warmUntil = 0;
const collect = collector();
await trainer.run({
  signal: stop.signal,
  breathe: async () => collect(),
  onProgress: ({ epoch, step, loss }) => {
    const at = performance.now();
    if (isFirst) {
      console.log("first");
      warmUntil = at + 500;
      isFirst = false;
    }
    if (at < warmUntil) return;
    const { user, system } = process.cpuUsage();
    const mark = { steps: (epoch - 1) * stepsPerEpoch + step, at, cpu: (user + system) / 1e3 };
    if (!begin) begin = mark;
    else if (at - begin.at >= Number(seconds) * 1000) {
      const steps = mark.steps - begin.steps;
      const figures = { msPerStep: (at - begin.at) / steps, cpuMsPerStep: (mark.cpu - begin.cpu) / steps, steps, loss };
      const memoryMB = (process.resourceUsage().maxRSS * 1024) / 1e6;
      console.log(JSON.stringify({ ...figures, memoryMB, version: "Tidegate" }));
      stop.abort();
    }
  },
});
await trainer.close();
