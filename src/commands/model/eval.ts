import type { Command } from "commander";
import { renderTable } from "../terminal/table.ts";
import { answer, configOption, type Io, jsonOption } from "../verb.ts";
import { modelsAt } from "./model-folders.ts";

type Options = {
  config?: string;
  json?: boolean;
  dir?: string;
  stream?: string;
  data?: string[];
  time?: string;
  source?: string;
  event?: string;
  against?: string;
};

/** `tidegate model eval`. */
export function defineEval(command: Command, io: Io): void {
  command
    .command("eval")
    .description("measure a model on the newest slice of data, beside the obvious methods (exit 1: the gate says no)")
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)")
    .option("--stream <name>", "stream whose readings it is measured on (default: the first that runs it)")
    .option(
      "--data <files...>",
      "files instead of the buffer: CSV or NDJSON (texts: columns text and label), IDX, or plain text",
    )
    .option("--time <column>", "column of the time in these files")
    .option("--source <column>", "column that tells one sensor from another")
    .option("--event <column>", "column that is not 0 during an event")
    .option("--against <name>", "another version: the gate then is the daemon's, paired, on the same examples")
    .option(...configOption)
    .option(...jsonOption)
    .option("--dir <folder>", "folder of model bundles, looked at before those of the configuration")
    .addHelpText(
      "after",
      "\nExample: tidegate model eval ./house-prices-2 --data houses.csv --against ./house-prices --json",
    )
    .action(async (name: string, options: Options) => {
      const { data: files, time, source, event, stream, against } = options;
      const models = modelsAt(io, options);
      const bundle = await models.open(name);
      const seed = bundle.card.train?.seed ?? 1;
      const { dataFromBuffer, evaluateBundle } = await import("./eval-model.ts");
      const { dataFromFiles } = await import("./training-data.ts");
      const named = {
        ...(time === undefined ? {} : { time }),
        ...(source === undefined ? {} : { source }),
        ...(event === undefined ? {} : { event }),
      };
      const data = files
        ? await dataFromFiles(bundle.card, { data: files, ...named, seed })
        : await dataFromBuffer(io, models, bundle, stream, seed);
      const other = against === undefined ? undefined : await models.open(against);
      const evaluation = await evaluateBundle(bundle, data, seed, other);
      if (evaluation.gate === "failed") answer(1);
      if (options.json) {
        io.out(JSON.stringify(evaluation));
        return;
      }
      const { metrics, baselines, samples, gate, reasons } = evaluation;
      const others = Object.keys(baselines);
      const short = (value: number | undefined) => (value === undefined ? null : value.toPrecision(4));
      const rows = Object.keys(metrics).map((metric) => [
        metric,
        short(metrics[metric]),
        ...others.map((each) => short(baselines[each]?.[metric])),
      ]);
      for (const line of renderTable(["", `${bundle.name} ${bundle.card.version}`, ...others], rows)) io.out(line);
      io.out(`${samples} examples; the gate says ${gate === "passed" ? "yes" : "no"}.`);
      for (const reason of reasons) io.out(`- ${reason}`);
    });
}
