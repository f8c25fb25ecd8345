import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import type { TrainingReport } from "../../gateway/training-report.ts";
import { renderTable } from "../terminal/table.ts";
import { answer, type Io, numberOption } from "../verb.ts";
import { type DataOptions, filesOf, withDataOptions } from "./data-options.ts";
import { modelsAt } from "./model-folders.ts";
import { TrainingScreen } from "./training-screen.ts";

type Options = DataOptions & {
  epochs?: number;
  batch?: number;
  rate?: number;
  seed?: number;
  patience?: number;
  threads?: number;
  out?: string;
  resume?: boolean;
  fresh?: boolean;
};

/** `tidegate model train`. */
export function defineTrain(command: Command, io: Io): void {
  const verb = command
    .command("train")
    .description(
      "train a model further, on the gateway's own buffer or on files (exit 1: what came of it is no better)",
    )
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)");
  withDataOptions(verb, "it is trained on")
    .option("--epochs <n>", "how often it sees all examples", numberOption("--epochs", { min: 1, integer: true }))
    .option("--batch <n>", "examples in a step", numberOption("--batch", { min: 1, integer: true }))
    .option("--rate <x>", "learning rate", numberOption("--rate"))
    .option(
      "--patience <n>",
      "epochs without gain after which it ends",
      numberOption("--patience", { min: 1, integer: true }),
    )
    .option("--seed <n>", "of the shuffling", numberOption("--seed", { integer: true }))
    .option(
      "--threads <n>",
      "with --data: threads of the trainer",
      numberOption("--threads", { min: 1, integer: true }),
    )
    .option("--out <folder>", "with --data: folder of the new bundle (default: <name>-<version> here)")
    .option("--resume", "go on from the checkpoint, and refuse one that belongs to something else")
    .option("--fresh", "begin anew, whatever checkpoint there is")
    .addHelpText(
      "after",
      [
        "\nExample: tidegate model train mote-anomaly",
        "         tidegate model train ./house-prices --data houses.csv --epochs 50 --out ./house-prices-2",
        "On the buffer, a version that the gate lets through takes over by itself. With --json: one event a line, then the report.",
      ].join("\n"),
    )
    .action(async (name: string, options: Options) => {
      const { stream, epochs, batch, rate, patience, seed, threads, out, resume, fresh } = options;
      const files = filesOf(options);
      if (resume && fresh) throw new TidegateError("USAGE", { detail: "--resume and --fresh exclude each other" });
      const models = modelsAt(io, options);
      const screen = new TrainingScreen(io, options.json === true);
      const wishes = { epochs, batch, rate, patience, seed };
      const settings = Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined));
      const shared = {
        settings,
        resume: resume ? ("require" as const) : fresh ? ("fresh" as const) : ("auto" as const),
        ...(threads === undefined ? {} : { threads }),
        onEvent: (told: Parameters<TrainingScreen["show"]>[0]) => screen.show(told),
      };
      const { trainOnBuffer, trainOnFiles } = await import("./train-model.ts");
      const report = files
        ? await trainOnFiles(io, models, name, files, { ...shared, out })
        : await trainOnBuffer(io, configured(models.loaded, name, out), name, stream, shared);
      show(io, screen, report, options.json === true, files !== undefined);
    });
}

/** On the buffer there must be a configuration, and the name of a model in it. */
function configured<T>(loaded: T | null, name: string, out: string | undefined): T {
  const detail = name.includes("/")
    ? "a folder is trained on files: say --data, or name a model that a stream runs"
    : out !== undefined
      ? "--out goes with --data: what is trained on the buffer becomes a version of the gateway's own"
      : loaded === null
        ? "there is no configuration, so there is no buffer: say --data, or --config"
        : undefined;
  if (detail === undefined && loaded !== null) return loaded;
  throw new TidegateError("USAGE", { detail });
}

const endings: Readonly<Record<TrainingReport["outcome"], string>> = {
  installed: "is better, and has taken over",
  kept: "is not shown to be better: the version in use stays",
  stopped: "was stopped; `tidegate model train` goes on from its checkpoint",
  diverged: "learnt nothing that can be used: the version in use stays",
  skipped: "was not trained",
};

function show(io: Io, screen: TrainingScreen, report: TrainingReport, isJson: boolean, isFile: boolean): void {
  if (report.outcome !== "installed") answer(1);
  if (isJson) {
    io.out(JSON.stringify(report));
    return;
  }
  const { model, version, outcome, reasons, metrics = {}, before = {}, baselines = {}, dir, result } = report;
  for (const line of screen.curves(result?.history ?? [])) io.out(line);
  const names = Object.keys(metrics);
  const short = (value: number | undefined) => (value === undefined ? null : value.toPrecision(4));
  const others = Object.keys(baselines);
  const rows = names.map((name) => [
    name,
    short(metrics[name]),
    short(before[name]),
    ...others.map((other) => short(baselines[other]?.[name])),
  ]);
  if (rows.length > 0)
    for (const line of ["", ...renderTable(["", "new", "before", ...others], rows), ""]) io.out(line);
  io.out(`${model} ${isFile && outcome === "installed" ? "is better" : endings[outcome]} (version ${version}).`);
  for (const reason of reasons) io.out(`- ${reason}`);
  if (dir !== undefined) io.out(`It lies in ${dir}.`);
}
