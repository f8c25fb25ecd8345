/** usage: npm run bench -- ingest | latency | lag | memory | disk | start | train | train-impact | fleet-maths | trust [--json] [--pairs N] [--messages N] [--seconds N] [--readings N] [--only PART] */
import { parseArgs } from "node:util";
import type { BenchOptions } from "./bench-options.ts";
import { type Report, renderReport } from "./measure.ts";

const benches: Record<string, () => Promise<(options: BenchOptions) => Promise<Report>>> = {
  ingest: async () => (await import("./ingest.ts")).ingest,
  latency: async () => (await import("./latency.ts")).latency,
  lag: async () => (await import("./lag.ts")).lag,
  memory: async () => (await import("./memory.ts")).memory,
  disk: async () => (await import("./disk.ts")).disk,
  start: async () => (await import("./start.ts")).start,
  train: async () => (await import("./train.ts")).train,
  "train-impact": async () => (await import("./train-impact.ts")).trainImpact,
  "fleet-maths": async () => (await import("./fleet-maths.ts")).fleetMaths,
  fleet: async () => (await import("./fleet.ts")).fleet,
  trust: async () => (await import("./trust.ts")).trust,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    pairs: { type: "string" },
    messages: { type: "string" },
    readings: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" },
  },
});
const [name = ""] = positionals;
const load = benches[name];
const usual =
  name === "train"
    ? { pairs: 5, seconds: 2 }
    : name === "fleet-maths" || name === "fleet"
      ? { pairs: 3, seconds: 1 }
      : { pairs: 7, seconds: 20 };
const pairs = Number(values.pairs ?? usual.pairs);
const seconds = Number(values.seconds ?? usual.seconds);
const numbers = [pairs, seconds, Number(values.messages ?? 1), Number(values.readings ?? 1)];
if (!load || numbers.some((n) => !Number.isInteger(n) || n < 1)) {
  console.error(
    `usage: npm run bench -- ${Object.keys(benches).join(" | ")} [--json] [--pairs N] [--messages N] [--seconds N] [--readings N] [--only PART]`,
  );
  process.exit(64);
}
const bench = await load();
const report = await bench({
  pairs,
  seconds,
  ...(values.messages === undefined ? {} : { messages: Number(values.messages) }),
  ...(values.readings === undefined ? {} : { readings: Number(values.readings) }),
  ...(values.only === undefined ? {} : { only: values.only }),
  say: ({ what, value, unit, ratio }) => {
    const text = `${what}: ${Number(value.toPrecision(4))} ${unit}${ratio === undefined ? "" : ` (${ratio.toFixed(2)} x)`}`;
    if (!values.json) console.error(text);
  },
});
console.log(values.json ? JSON.stringify(report) : `\n${renderReport(report)}`);
