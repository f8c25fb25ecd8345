import { type ChildProcess, fork } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ModelReport } from "./conformance-child.ts";

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

/** One line per folder of the test data, and the models that fail. */
export function renderTable(reports: readonly ModelReport[]): string {
  const groups = Map.groupBy(reports, ({ model }) => basename(dirname(model)));
  const row = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(20) : String(cell).padStart(22))).join("");
  const count = (list: readonly ModelReport[], part: "runs" | "readWrite" | "lifted"): number =>
    list.filter((report) => report[part] === true).length;
  const rounded = reports.filter(({ lifted }) => lifted === "within rounding").map(({ model }) => basename(model));
  const line = (name: string, list: readonly ModelReport[]): string =>
    row([name, list.length, count(list, "runs"), count(list, "readWrite"), count(list, "lifted")]);
  const faults = reports.flatMap(({ model, runs, readWrite, lifted }) => {
    if (runs !== true) return [];
    const name = basename(model);
    return [
      ...(readWrite === true ? [] : [`read-write  ${name}: ${readWrite}`]),
      ...(lifted === true || lifted === "within rounding" ? [] : [`lifted      ${name}: ${lifted}`]),
    ];
  });
  return [
    row(["", "models", "onnxruntime runs", "read-write identical", "lifted identical"]),
    ...[...groups].map(([name, list]) => line(name, list)),
    line("all", reports),
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
  console.log(process.argv.includes("--json") ? JSON.stringify(reports) : renderTable(reports));
  if (process.argv.includes("--why")) {
    for (const { model, runs } of reports)
      if (runs !== true) console.log(`not run     ${basename(model)}: ${runs.split("\n")[0]}`);
  }
  process.exit(
    reports.every(({ runs, readWrite, lifted }) => runs !== true || (readWrite === true && lifted === true)) ? 0 : 1,
  );
}
