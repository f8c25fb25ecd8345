import { parseArgs } from "node:util";
import { fuzz } from "./run.ts";
import { targets } from "./targets.ts";

// Throws changed inputs at the readers of what strangers send: npm run test:fuzz -- [--only NAME] [--cases N] [--seed N] [--from N]
const { values } = parseArgs({
  options: { only: { type: "string" }, cases: { type: "string" }, seed: { type: "string" }, from: { type: "string" } },
});
const cases = Number(values.cases ?? 1_000_000);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
for (const target of targets) {
  if (values.only !== undefined && values.only !== target.name) continue;
  const began = performance.now();
  const report = fuzz(target, { cases, seed, from: Number(values.from ?? 0) });
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  console.log(
    `${target.name}: ${report.cases} cases of seed ${seed} in ${seconds} s, ${report.taken} taken for what they are, slowest ${report.slowestMs.toFixed(1)} ms, ${report.faults.length} faults`,
  );
  for (const fault of report.faults) console.log(JSON.stringify(fault));
  if (report.faults.length > 0) process.exitCode = 1;
}
