import { defineEval } from "./model/eval.ts";
import { listModels } from "./model/list-models.ts";
import { modelsAt } from "./model/model-folders.ts";
import { defineNew } from "./model/new.ts";
import { definePush } from "./model/push.ts";
import { defineQuantize } from "./model/quantize.ts";
import { showModel } from "./model/show-model.ts";
import { defineTrain } from "./model/train.ts";
import { renderTable } from "./terminal/table.ts";
import { answer, configOption, type Define, jsonOption } from "./verb.ts";

type Options = { config?: string; json?: boolean; dir?: string };

const dirOption = ["--dir <folder>", "folder of model bundles, looked at before those of the configuration"] as const;

export const define: Define = (command, io) => {
  command
    .command("ls")
    .description("list the models that are there, and which are in use")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText("after", "\nExample: tidegate model ls --json")
    .action(async (options: Options) => {
      const models = await listModels(modelsAt(io, options));
      if (options.json) return io.out(JSON.stringify(models));
      if (models.length === 0) io.err(`There is no model in ${modelsAt(io, options).registry.dirs.join(" or ")}.`);
      const rows = models.map(({ name, version, task, active, streams, dir }) => {
        return [name, version, task, active ? "yes" : "no", streams.join(", "), dir];
      });
      for (const line of renderTable(["name", "version", "task", "active", "streams", "folder"], rows)) io.out(line);
      for (const { name, fault } of models) if (fault !== undefined) io.err(`${name}: ${fault}`);
    });

  command
    .command("show")
    .description("what a model takes, gives and is made of")
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      "\nExample: tidegate model show mote-anomaly --json\nAn operator is trainable when a gradient passes it on the way from an output to a weight.",
    )
    .action(async (name: string, options: Options) => {
      const shown = await showModel(await modelsAt(io, options).open(name));
      if (options.json) return io.out(JSON.stringify(shown));
      const { inputs, outputs, operators, fields, window, blockedBy, ...facts } = shown;
      for (const [key, value] of Object.entries(facts)) if (value !== null && value !== "") io.out(`${key}: ${value}`);
      if (window) io.out(`window: ${window.size} readings of ${fields.map((field) => field.name).join(", ")}`);
      const row = (what: string, { name, type, shape }: (typeof inputs)[number]) => {
        return [what, name, type, shape && `[${shape.map((dim) => dim ?? "?").join(", ")}]`];
      };
      const rows = [...inputs.map((port) => row("input", port)), ...outputs.map((port) => row("output", port))];
      for (const line of ["", ...renderTable(["", "name", "type", "shape"], rows)]) io.out(line);
      const ops = operators.map(({ op, count, trainable }) => [op, count, trainable ? "yes" : "no"]);
      for (const line of ["", ...renderTable(["operator", "count", "trainable"], ops)]) io.out(line);
      for (const { node, op } of blockedBy) io.out(`No gradient passes ${op} at ${node}: the weights before it stay.`);
    });

  defineNew(command, io);
  defineQuantize(command, io);
  defineTrain(command, io);
  defineEval(command, io);
  definePush(command, io);

  command
    .command("verify")
    .description("load a model and compare its results with its golden samples (exit 1 when they differ)")
    .argument("<name>", "name of a model, or the folder of a bundle (with a / in it)")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText("after", "\nExample: tidegate model verify ./my-model")
    .action(async (name: string, options: Options) => {
      const models = modelsAt(io, options);
      const bundle = await models.open(name);
      const { verify } = await import("./model/verify-model.ts");
      const { samples, faults } = await verify(bundle, models.settings, io.signal);
      const { version, task } = bundle.card;
      const passed = faults.length === 0;
      if (!passed) answer(1);
      if (options.json)
        return io.out(JSON.stringify({ name: bundle.name, version, task, hash: bundle.hash, passed, samples, faults }));
      for (const fault of faults) io.out(fault);
      const what = `${bundle.name} version ${version}`;
      if (!passed) io.out(`${what} does not give what its golden samples ask for: do not use it.`);
      else if (samples === 0)
        io.out(`${what} loads and agrees with its card; it has no golden samples to compare with.`);
      else io.out(`${what} agrees with its card and with all ${samples} golden samples.`);
    });
};
