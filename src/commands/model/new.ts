import type { Command } from "commander";
import { configOption, type Io, jsonOption, numberOption } from "../verb.ts";

type Options = {
  template: string;
  dir?: string;
  fields?: string[];
  window?: number;
  period?: string;
  hidden?: number[];
  labels?: string[];
  target?: string;
  horizon?: number;
  seed?: number;
  json?: boolean;
};

const list = (text: string): string[] => text.split(",").map((part) => part.trim());
const whole = (option: string, min: number, max: number) => numberOption(option, { min, max, integer: true });

/** `tidegate model new`: a bundle that has learnt nothing yet. */
export function defineNew(command: Command, io: Io): void {
  command
    .command("new")
    .description("make a model from a template, to be trained")
    .argument("<name>", "its name: the folder that is made")
    .requiredOption("--template <name>", "linear, mlp, cnn1d, cnn2d, rnn, gru, lstm, autoencoder, text or char-lm")
    .option("--fields <list>", "fields of a reading that it takes, in order (a,b,c)", list)
    .option("--target <field>", "field that it tells (default: target)")
    .option("--labels <list>", "classes, for one that tells a class", list)
    .option("--window <n>", "readings in a window", whole("--window", 1, 4096))
    .option("--period <time>", "time between two readings, as 5s")
    .option("--horizon <n>", "readings ahead that a forecast looks", whole("--horizon", 1, 4096))
    .option("--hidden <list>", "sizes of the layers (64,32)", (text) => list(text).map(whole("--hidden", 1, 65_536)))
    .option("--seed <n>", "of the weights that it starts with", whole("--seed", 0, 2 ** 32 - 1))
    .option("--dir <folder>", "folder in which the bundle is made (default: this folder)")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate model new pump --template autoencoder --fields pressure,flow --window 32\nIt is not in use before it has been trained: tidegate model train ./pump --stream pumps",
    )
    .action(async (name: string, options: Options) => {
      const { makeBundle } = await import("./new-model.ts");
      const made = makeBundle(name, options);
      if (options.json) return io.out(JSON.stringify(made));
      io.out(`${made.dir}: ${made.summary}, ${made.parameters} parameters.`);
      io.out(`Look at ${made.dir}/card.yaml, then train it: tidegate model train ${made.dir}`);
    });
}
