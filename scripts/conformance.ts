import { type ChildProcess, fork } from "node:child_process";
import { existsSync, globSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ModelReport } from "./conformance-child.ts";
import { renderDocument } from "./conformance-document.ts";
import { noNumbers } from "./conformance-gradient.ts";

/** Longest time that one model may take before its process is ended. */
const patienceMs = 20_000;

const root = join(import.meta.dirname, "..");

/** Where the test data lie: see scripts/fetch-onnx-testdata.sh. Undefined when they are not there. */
export function testDataFolder(): string | undefined {
  const places = [
    join(root, ".cache/libonnx-testdata/usr/share/libonnx-testdata/data"),
    "/usr/share/libonnx-testdata/data",
  ];
  return places.find((place) => existsSync(place));
}

/**
 * Runs every model of the test data as it is, after reading and writing it, and after lifting it. Models run in a child
 * process, so that one that crashes or hangs onnxruntime costs only itself.
 */
export async function conform(folder: string): Promise<ModelReport[]> {
  const models = globSync(join(folder, "*/*/model.onnx")).map(dirname).toSorted();
  const reports: ModelReport[] = [];
  let child = startChild();
  for (const model of models) {
    const report = await ask(child, model);
    if (typeof report === "string") {
      child.kill("SIGKILL");
      child = startChild();
    }
    reports.push(typeof report === "string" ? { model, runs: report } : report);
  }
  child.kill();
  return reports;
}

const startChild = (): ChildProcess =>
  fork(join(import.meta.dirname, "conformance-child.ts"), [], { stdio: ["ignore", "ignore", "ignore", "ipc"] });

/** The report on a model, or why there is none. */
function ask(child: ChildProcess, model: string): Promise<ModelReport | string> {
  return new Promise((resolve) => {
    const settle = (result: ModelReport | string): void => {
      clearTimeout(timer);
      child.removeAllListeners();
      resolve(result);
    };
    const timer = setTimeout(() => settle(`no answer within ${patienceMs} ms`), patienceMs);
    child.once("message", (report) => settle(report as ModelReport));
    child.once("exit", (code, signal) => settle(`onnxruntime ended the process (${signal ?? code})`));
    child.send(model, (fault) => {
      if (fault) settle(fault.message);
    });
  });
}

/** A model that onnxruntime runs gives the same after reading and writing, and after lifting. */
export const isConformant = ({ runs, readWrite, lifted }: ModelReport): boolean =>
  runs !== true || (readWrite === true && (lifted === true || lifted === "within rounding"));

/** No gradient is wrong: one that is there and can be compared agrees. */
export const isDifferentiable = ({ gradient, verified }: ModelReport): boolean =>
  gradient === undefined ||
  (gradient !== true && gradient !== "in part") ||
  verified === true ||
  verified === noNumbers;

type Counts = readonly (readonly [string, (report: ModelReport) => boolean])[];

const columns: Counts = [
  ["models", () => true],
  ["onnxruntime runs", ({ runs }) => runs === true],
  ["read-write identical", ({ readWrite }) => readWrite === true],
  ["lifted identical", ({ lifted }) => lifted === true],
  ["real", ({ gradient }) => gradient !== undefined],
  ["gradient available", ({ gradient }) => gradient === true || gradient === "in part"],
  ["gradient verified", ({ verified }) => verified === true],
];

/** One row per folder of the test data, its name first. */
export function tableOf(reports: readonly ModelReport[]): (readonly (string | number)[])[] {
  const row = (name: string, list: readonly ModelReport[]) => [
    name,
    ...columns.map(([, counts]) => list.filter(counts).length),
  ];
  const groups = Map.groupBy(reports, ({ model }) => basename(dirname(model)));
  return [
    ["", ...columns.map(([title]) => title)],
    ...[...groups].map(([name, list]) => row(name, list)),
    row("all", reports),
  ];
}

/** The table, and the models that fail. */
export function renderTable(reports: readonly ModelReport[]): string {
  const rounded = reports.filter(({ lifted }) => lifted === "within rounding").map(({ model }) => basename(model));
  const faults = reports.flatMap(({ model, runs, readWrite, lifted, gradient, verified }) => {
    if (runs !== true) return [];
    const name = basename(model);
    return [
      ...(readWrite === true ? [] : [`read-write  ${name}: ${readWrite}`]),
      ...(lifted === true || lifted === "within rounding" ? [] : [`lifted      ${name}: ${lifted}`]),
      ...(isDifferentiable({ model, runs, gradient, verified } as ModelReport)
        ? []
        : [`gradient    ${name}: ${verified}`]),
    ];
  });
  const line = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(18) : String(cell).padStart(21))).join("");
  return [
    ...tableOf(reports).map(line),
    ...(rounded.length === 0 ? [] : [`lifted, equal within rounding (another kernel): ${rounded.join(", ")}`]),
    ...faults,
  ].join("\n");
}

if (import.meta.main) {
  const folder = testDataFolder();
  if (folder === undefined) {
    console.error("no test data: run scripts/fetch-onnx-testdata.sh first");
    process.exit(69);
  }
  const reports = await conform(folder);
  if (process.argv.includes("--document")) writeFileSync(join(root, "docs/conformance.md"), renderDocument(reports));
  console.log(process.argv.includes("--json") ? JSON.stringify(reports) : renderTable(reports));
  if (process.argv.includes("--why")) {
    for (const { model, runs } of reports)
      if (runs !== true) console.log(`not run     ${basename(model)}: ${runs.split("\n")[0]}`);
  }
  process.exit(
    reports.every(({ runs, readWrite, lifted }) => runs !== true || (readWrite === true && lifted === true)) ? 0 : 1,
  );
}
