import type { Command } from "commander";
import { renderTable } from "../terminal/table.ts";
import { type Io, OptionFault } from "../verb.ts";
import { type DataOptions, filesOf, withDataOptions } from "./data-options.ts";
import { modelsAt } from "./model-folders.ts";

type Options = DataOptions & { out?: string; mode: string };

/** `tidegate model quantize`. */
export function defineQuantize(command: Command, io: Io): void {
  const verb = command
    .command("quantize")
    .description("make a smaller version in 8-bit integers, and tell size, speed and metrics before and after")
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)");
  withDataOptions(verb, "both are measured on")
    .option("--mode <mode>", "weights: stored small; dynamic: products are computed small, too", "weights")
    .option("--out <folder>", "the bundle that is made; its last part is its name (default: ./NAME-int8)")
    .addHelpText(
      "after",
      "\nExample: tidegate model quantize digits-cnn --mode weights --out ./digits-small\nWithout data the golden samples alone tell what was lost.",
    )
    .action(async (name: string, options: Options) => {
      const { mode } = options;
      if (mode !== "weights" && mode !== "dynamic") throw new OptionFault("--mode", mode, "weights or dynamic");
      const models = modelsAt(io, options);
      const bundle = await models.open(name);
      const { quantizeBundle } = await import("./quantize-model.ts");
      const made = await quantizeBundle(io, models, bundle, {
        mode,
        out: options.out,
        stream: options.stream,
        files: filesOf(options),
      });
      if (options.json) {
        io.out(JSON.stringify(made));
        return;
      }
      const { before, after } = made;
      const short = (value: number | undefined) => (value === undefined ? null : value.toPrecision(4));
      const rows = [
        ["model.onnx", `${before.bytes} bytes`, `${after.bytes} bytes`],
        ["one row", `${short(before.microseconds)} us`, `${short(after.microseconds)} us`],
        ["a row of 32", `${short(before.microsecondsOf32)} us`, `${short(after.microsecondsOf32)} us`],
        ...Object.keys(before.metrics).map((metric) => [
          metric,
          short(before.metrics[metric]),
          short(after.metrics[metric]),
        ]),
      ];
      for (const line of renderTable(["", "before", "after"], rows)) io.out(line);
      io.out(`${made.tensors} tensors, ${made.parameters} numbers in 8 bits; ${made.products} products in integers.`);
      io.out(`${made.judgedAlike} of ${made.golden} golden samples are judged as before. Written to ${made.dir}.`);
    });
}
