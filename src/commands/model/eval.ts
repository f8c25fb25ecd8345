import type { Command } from "commander";
import { renderTable } from "../terminal/table.ts";
import { answer, type Io } from "../verb.ts";
import { type DataOptions, filesOf, withDataOptions } from "./data-options.ts";
import { modelsAt } from "./model-folders.ts";

type Options = DataOptions & { against?: string };

/** `tidegate model eval`. */
export function defineEval(command: Command, io: Io): void {
  const verb = command
    .command("eval")
    .description("measure a model on the newest slice of data, beside the obvious methods (exit 1: the gate says no)")
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)");
  withDataOptions(verb, "it is measured on")
    .option("--against <name>", "another version: the gate then is the daemon's, paired, on the same examples")
    .addHelpText(
      "after",
      "\nExample: tidegate model eval ./house-prices-2 --data houses.csv --against ./house-prices --json",
    )
    .action(async (name: string, options: Options) => {
      const { stream, against } = options;
      const models = modelsAt(io, options);
      const bundle = await models.open(name);
      const seed = bundle.card.train?.seed ?? 1;
      const { dataFromBuffer, evaluateBundle } = await import("./eval-model.ts");
      const { dataFromFiles } = await import("./training-data.ts");
      const files = filesOf(options);
      const data = files
        ? await dataFromFiles(bundle.card, { ...files, seed })
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
